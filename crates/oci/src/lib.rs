//! Container images from files: reads `docker save` archives, OCI archives and OCI layouts, verifies every digest, and writes the
//! layers in the form that overlayfs needs.
//!
//! What is read comes from outside: documents have a longest length, and no name of an archive becomes a path of this host.

mod archive;
mod blob;
mod compression;
mod config;
mod documents;
mod error;
mod image;
mod layer;
mod reference;
mod source;
mod tape;

pub use archive::Archive;
pub use config::{Config, Healthcheck};
pub use error::{Fault, OciError};
pub use image::{Image, Layer};
pub use layer::store::{LayerStore, Normalised};
pub use reference::matches as same_reference;
