//! Container images for tests, from lists of entries: OCI layouts, OCI archives, and archives of `docker save`.

mod layer;
mod write;

pub use layer::{Attributes, Layer};
pub use write::{Compression, Image};
