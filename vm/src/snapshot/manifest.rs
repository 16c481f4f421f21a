//! What is known about a snapshot: its fingerprint, and what each of its files was when it was frozen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use host::digest;
use host::files::{FileError, PRIVATE_FILE, write_json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Fingerprint, Snapshot, SnapshotDir, Strategy};
use crate::stamp::Stamp;

/// Version of the manifest's format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// Largest file whose content is compared when it is not known by its stamp: a disk or the state of devices, but not a memory.
const HASHED_BYTES: u64 = 512 << 20;

/// What is known about a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotManifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// How memory and devices are kept.
    pub strategy: Strategy,
    /// When the machine was stopped for it.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// What it fits.
    pub fingerprint: Fingerprint,
    /// Every file that a resume needs, by its name in the directory.
    pub files: BTreeMap<String, Frozen>,
}

/// A file as it was when the snapshot was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// Size, inode and time of change.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Bytes that it takes on the disk.
    pub allocated: u64,
    /// SHA-256; none for memory, which would take longer to hash than to resume.
    pub sha256: Option<String>,
}

/// Why a snapshot cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// There is no manifest: it was never finished.
    #[error("it is not complete")]
    Incomplete,
    /// It must not be used any more.
    #[error("{0}")]
    Retired(String),
    /// A newer or an older program wrote it.
    #[error("its format is {found}, and this program reads {FORMAT_VERSION}")]
    OtherFormat {
        /// The format that it claims.
        found: u32,
    },
    /// The manifest cannot be understood.
    #[error("its manifest is not valid: {0}")]
    Invalid(serde_json::Error),
    /// A file is gone.
    #[error("its file `{0}` is gone")]
    Missing(String),
    /// A file has another size.
    #[error("its file `{name}` has {found} bytes in place of {expected}")]
    Size {
        /// The file.
        name: String,
        /// Its size now.
        found: u64,
        /// Its size when it was frozen.
        expected: u64,
    },
    /// A file is not what it was.
    #[error("its file `{0}` has been changed")]
    Changed(String),
    /// The operating system does not let it be looked at.
    #[error("{0}")]
    File(FileError),
}

impl Frozen {
    /// Makes the file at `path` read-only and notes what it is. `hashed` is whether its content is noted too.
    ///
    /// # Errors
    /// When it cannot be read or changed.
    pub(crate) fn freeze(path: &Path, hashed: bool) -> Result<Self, FileError> {
        use std::os::unix::fs::PermissionsExt;
        let read = || -> io::Result<Self> {
            fs::set_permissions(path, fs::Permissions::from_mode(0o400))?;
            let file = fs::File::open(path)?;
            let allocated = host::sparse::allocated(&file)?;
            let sha256 = if hashed { Some(digest::of_file(path)?) } else { None };
            file.sync_all()?;
            Ok(Self { stamp: Stamp::of(path)?, allocated, sha256 })
        };
        read().map_err(FileError::of("freeze", path))
    }

    /// [`Frozen::freeze`] of several files, by their names.
    ///
    /// # Errors
    /// When one cannot be read or changed.
    pub(crate) fn freeze_all(
        files: impl IntoIterator<Item = (PathBuf, bool)>,
    ) -> Result<BTreeMap<String, Self>, FileError> {
        let freeze = |(path, hashed): (PathBuf, bool)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, Self::freeze(&path, hashed)?))
        };
        files.into_iter().map(freeze).collect()
    }

    /// Whether the file at `path`, known as `name`, is still the same.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn verify(&self, name: &str, path: &Path) -> Result<(), Unusable> {
        let stamp = match Stamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Unusable::Missing(name.to_owned()));
            }
            Err(error) => return Err(Unusable::File(FileError::of("look at", path)(error))),
        };
        let Stamp { size: expected, .. } = self.stamp;
        if stamp.size != expected {
            return Err(Unusable::Size { name: name.to_owned(), found: stamp.size, expected });
        }
        if stamp == self.stamp {
            return Ok(());
        }
        // A copy in another place has another inode, and perhaps the same content.
        let same = match &self.sha256 {
            Some(sha256) if stamp.size <= HASHED_BYTES => {
                digest::of_file(path).map_err(FileError::of("read", path)).map_err(Unusable::File)? == *sha256
            }
            _ => false,
        };
        if same { Ok(()) } else { Err(Unusable::Changed(name.to_owned())) }
    }
}

impl SnapshotManifest {
    /// Writes it into `dir`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn write(&self, dir: &SnapshotDir) -> Result<(), FileError> {
        write_json(&dir.manifest(), self, PRIVATE_FILE)
    }

    fn parse(text: &[u8]) -> Result<Self, Unusable> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Version {
            format_version: u32,
        }
        let Version { format_version: found } = serde_json::from_slice(text).map_err(Unusable::Invalid)?;
        if found != FORMAT_VERSION {
            return Err(Unusable::OtherFormat { found });
        }
        serde_json::from_slice(text).map_err(Unusable::Invalid)
    }
}

impl Snapshot {
    /// The snapshot in `root`, if it is complete and may be used. Its files are not looked at.
    ///
    /// # Errors
    /// With the reason why it cannot be used.
    pub(super) fn read(root: PathBuf) -> Result<Self, Unusable> {
        let dir = SnapshotDir::new(root);
        match fs::read_to_string(dir.retired()) {
            Ok(reason) => return Err(Unusable::Retired(reason.trim_end().to_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Unusable::File(FileError::of("read", &dir.retired())(error))),
        }
        let text = match fs::read(dir.manifest()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Incomplete),
            Err(error) => return Err(Unusable::File(FileError::of("read", &dir.manifest())(error))),
        };
        Ok(Self { manifest: SnapshotManifest::parse(&text)?, dir })
    }

    /// Proves that every file is what it was when the snapshot was made.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn verify(&self) -> Result<(), Unusable> {
        let mut files = self.manifest.files.iter();
        files.try_for_each(|(name, frozen)| frozen.verify(name, &self.dir.root().join(name)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frozen() -> (tempfile::TempDir, PathBuf, Frozen) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::write(&path, "content").unwrap();
        let frozen = Frozen::freeze(&path, true).unwrap();
        (dir, path, frozen)
    }

    #[test]
    fn a_file_that_was_not_touched_is_the_same_and_so_is_a_copy_of_it() {
        let (_dir, path, frozen) = frozen();
        frozen.verify("disk", &path).unwrap();
        let moved = path.with_extension("copy");
        fs::copy(&path, &moved).unwrap();
        frozen.verify("disk", &moved).unwrap();
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let (_dir, path, frozen) = frozen();
        fs::remove_file(&path).unwrap();
        assert_eq!(frozen.verify("disk", &path).unwrap_err().to_string(), "its file `disk` is gone");
        fs::write(&path, "cont").unwrap();
        let error = frozen.verify("disk", &path).unwrap_err().to_string();
        assert_eq!(error, "its file `disk` has 4 bytes in place of 7");
        fs::write(&path, "CONTENT").unwrap();
        assert_eq!(frozen.verify("disk", &path).unwrap_err().to_string(), "its file `disk` has been changed");
    }

    #[test]
    fn a_manifest_of_another_format_is_refused_by_number() {
        let refused = |text: &[u8]| SnapshotManifest::parse(text).unwrap_err().to_string();
        assert_eq!(refused(br#"{"formatVersion": 3}"#), "its format is 3, and this program reads 2");
        assert_eq!(refused(br#"{"formatVersion": 1}"#), "its format is 1, and this program reads 2");
    }
}
