//! Telling a file from another one in its place without reading it.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The identity of a file, which distinguishes it from a replacement without reading it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Inode number.
    pub inode: u64,
    /// Last change of its content, in nanoseconds since 1970.
    pub modified: i64,
}

impl Stamp {
    /// Whether it is that of a copy which has kept the time of change, to the nanosecond: as `cp -a` and `mv` to another file system
    /// make them, and as nothing that was written to can be.
    pub fn is_copy_of(&self, other: &Self) -> bool {
        self.size == other.size && self.modified == other.modified && self.modified % 1_000_000_000 != 0
    }

    /// The stamp of the file at `path`.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn of(path: &Path) -> std::io::Result<Self> {
        Ok(Self::of_metadata(&std::fs::metadata(path)?))
    }

    /// The stamp of the file that this is known of.
    pub fn of_metadata(data: &std::fs::Metadata) -> Self {
        let modified = data.mtime().saturating_mul(1_000_000_000).saturating_add(data.mtime_nsec());
        Self { size: data.len(), inode: data.ino(), modified }
    }
}
