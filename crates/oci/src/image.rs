//! One image of an archive: its configuration, and where its layers are.

use std::path::{Path, PathBuf};

use base::digest::Sha256;

use crate::blob::Blob;
use crate::config::Config;

/// An image whose manifest and configuration have been verified. Its layers are verified when they are written.
#[derive(Debug, Clone)]
pub struct Image {
    /// Digest of the configuration, which `docker images` shows as the image's id.
    pub id: Sha256,
    /// What the archive calls the image.
    pub reference: Option<String>,
    /// Architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// What runs in it, and how.
    pub config: Config,
    /// The layers, the lowest first.
    pub layers: Vec<Layer>,
    pub(crate) archive: PathBuf,
}

impl Image {
    /// Returns the file or directory that it was read from.
    pub fn archive(&self) -> &Path {
        &self.archive
    }
}

/// A layer of an image.
#[derive(Debug, Clone)]
pub struct Layer {
    /// Digest of the unpacked archive. It names the layer in every archive, however that compresses it.
    pub diff_id: Sha256,
    pub(crate) blob: Blob,
    /// Digest of the blob, where the archive says one.
    pub(crate) blob_digest: Option<Sha256>,
}
