//! All that host and guest agree on: types and names only. Whatever both sides must write alike stands here, and nowhere else.

pub mod agent;
pub mod containers;
pub mod exec;
pub mod names;
pub mod progress;
mod secret;
pub mod services;
pub mod sql;

pub use agent::{Answer, Command, ENTROPY_BYTES, Hooks, Outcome, Replace, Request, Resume, Step, VERSION};
pub use secret::Secret;
