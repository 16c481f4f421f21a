//! The images of a home: which ones there are, installing a new one, and keeping a replaced one that an instance has data on.
//!
//! What a session has written needs its image and is garbage on any other. So an image that is replaced stays beside the new
//! one, with its SHA-256 in its name, for as long as an instance has data on it.

pub mod files;
pub mod identity;
pub mod list;
pub mod pull;
pub mod store;
pub mod users;
