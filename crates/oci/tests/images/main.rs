//! Reads images that the tests write, and what their layers become.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

mod archives;
mod bad_layers;
#[cfg(target_os = "linux")]
mod gnu_tar;
mod sharing;
#[cfg(target_os = "linux")]
mod tree;
#[cfg(target_os = "linux")]
mod umoci;

use std::path::Path;

use oci::{Archive, Image, OciError};

/// Reads the only image of the archive at `path`.
fn read(path: &Path) -> Result<Image, OciError> {
    Archive::open(path, path.parent().unwrap())?.image(None, "amd64")
}
