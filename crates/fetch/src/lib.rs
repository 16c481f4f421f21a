//! Fetches big files over HTTP: resumed where they stopped, verified before they get a name. Files that are on this machine already
//! are taken in the same way.

pub mod credential;
pub mod download;
pub mod http;
pub mod local;
pub mod refusal;

pub use credential::Credential;
pub use refusal::Refusal;
