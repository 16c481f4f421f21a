//! The saved state of a machine, written once for whatever keeps one: memory and devices in files beside a frozen disk, a description
//! of what they fit, and a check that they are what they were.
//!
//! A snapshot and a suspended machine are a saved state, what it stands on, and who may use it.

pub(crate) mod files;
pub mod fingerprint;
pub mod frozen;
mod host_cpu;
pub(crate) mod load;
mod packing;
pub(crate) mod save;
pub mod state;

pub use fingerprint::Fingerprint;
pub use state::SavedState;
