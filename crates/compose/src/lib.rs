//! Reads a compose file into a typed model: YAML with anchors and merge keys, variables, then types.
//!
//! Nothing here knows images, machines or systemd. Files are read only where the compose file names them, and `.env` beside it.
//! [`keys`] is the one list of what is supported.

mod decode;
mod environment;
mod error;
pub mod keys;
pub mod model;
mod project;
mod yaml;

pub use error::{ComposeError, Place};
pub use model::Project;
