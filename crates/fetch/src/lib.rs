//! Fetches large files over HTTP: interrupted downloads resume, and a file gets its name only after it has been verified. Local files
//! are taken in the same way.

pub mod credential;
pub mod download;
pub mod http;
pub mod local;
pub mod refusal;

pub use credential::Credential;
pub use refusal::Refusal;
