//! The identity of an image below a disk.

use std::path::PathBuf;

use base::digest::Sha256;
use base::files;
use serde::{Deserialize, Serialize};
use vm::home::Home;

use super::files::superseded;
use crate::home::HomeExt;

/// An image by its content. A qcow2 overlay is garbage on top of any other one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageIdentity {
    /// Where it was, as the home [names](Home::named) it. Older programs wrote absolute paths.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
}

impl ImageIdentity {
    /// Where the image is in this `home`: at its old path, or beside it once it was replaced.
    pub fn location(&self, home: &Home) -> PathBuf {
        let path = home.resolve(&self.path);
        let kept = superseded(&path, self.sha256);
        // If it cannot be read, the kept image beside it cannot either, and that is reported.
        if files::present(&kept).unwrap_or(false) { kept } else { path }
    }

    /// Whether `other` has the same content, wherever it is.
    pub fn same_content(&self, other: &Self) -> bool {
        self.sha256 == other.sha256 && self.size == other.size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_its_content() {
        let image = ImageIdentity {
            path: "/h/image.qcow2".into(),
            sha256: base::digest::of_bytes(b"image"),
            size: 7,
        };
        let moved = ImageIdentity { path: "/elsewhere".into(), ..image.clone() };
        assert!(image.same_content(&moved));
        assert!(!image.same_content(&ImageIdentity { size: 8, ..image.clone() }));
    }
}
