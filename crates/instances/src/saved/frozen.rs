//! Files that must not change: the identity of each when it was frozen, and whether it is still the same.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::files::FileError;
use serde::{Deserialize, Serialize};
use vm::stamp::Stamp;

/// A file as it was when it was frozen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frozen {
    /// Size, inode and time of change.
    #[serde(flatten)]
    pub stamp: Stamp,
    /// Bytes that it takes on the disk.
    pub allocated: u64,
    /// SHA-256 of small files.
    pub sha256: Option<Sha256>,
    /// SHA-256 of memory, by [`digest::of_pages`]. None for a suspended machine's, which would take longer to hash than to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Sha256>,
}

/// What distinguishes a copy of a file from a damaged file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Its time of change only.
    Time,
    /// All of its content.
    Content,
    /// Its pages that are not all zeroes.
    Pages,
}

/// How a file was identified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It is unchanged.
    Untouched,
    /// It is a copy, with this stamp.
    Copied(Stamp),
}

/// Why a file is not what it was.
#[derive(Debug, thiserror::Error)]
pub enum Damage {
    /// A file is gone.
    #[error("its file `{0}` is gone")]
    Missing(String),
    /// A file has another size.
    #[error("its file `{name}` has {found} bytes instead of {expected}")]
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
    /// A file is another one, and what would identify a copy was not recorded, or was lost.
    #[error(
        "its file `{0}` is another one, or a copy that has lost the time at which the original was last changed"
    )]
    Unproved(String),
    /// The operating system refuses to read it.
    #[error("{0}")]
    File(FileError),
}

impl Frozen {
    /// Makes the file at `path` read-only and records its identity, and what `proof` of a copy needs.
    ///
    /// # Errors
    /// When it cannot be read or changed.
    pub(crate) fn freeze(path: &Path, proof: Proof) -> Result<Self, FileError> {
        use std::os::unix::fs::PermissionsExt;
        let read = || -> io::Result<Self> {
            fs::set_permissions(path, fs::Permissions::from_mode(0o400))?;
            let file = fs::File::open(path)?;
            let allocated = base::sparse::allocated(&file)?;
            let sha256 = if proof == Proof::Content { Some(digest::of_file(path)?) } else { None };
            let pages = if proof == Proof::Pages { Some(digest::of_pages(path)?) } else { None };
            file.sync_all()?;
            Ok(Self { stamp: Stamp::of(path)?, allocated, sha256, pages })
        };
        read().map_err(FileError::of("freeze", path))
    }

    /// [`Frozen::freeze`] of several files, by their names.
    ///
    /// # Errors
    /// When one cannot be read or changed.
    pub(crate) fn freeze_all(
        files: impl IntoIterator<Item = (PathBuf, Proof)>,
    ) -> Result<BTreeMap<String, Self>, FileError> {
        let freeze = |(path, proof): (PathBuf, Proof)| {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            Ok((name, Self::freeze(&path, proof)?))
        };
        files.into_iter().map(freeze).collect()
    }

    /// Whether the file at `path`, known as `name`, is still the same.
    ///
    /// # Errors
    /// With what is wrong with it.
    pub fn verify(&self, name: &str, path: &Path) -> Result<Identity, Damage> {
        let stamp = match Stamp::of(path) {
            Ok(stamp) => stamp,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Damage::Missing(name.to_owned()));
            }
            Err(error) => return Err(Damage::File(FileError::of("look at", path)(error))),
        };
        let Stamp { size: expected, .. } = self.stamp;
        if stamp.size != expected {
            return Err(Damage::Size { name: name.to_owned(), found: stamp.size, expected });
        }
        if stamp == self.stamp {
            return Ok(Identity::Untouched);
        }
        // A copy in another place has another inode, and perhaps the same content.
        let content = match (&self.sha256, &self.pages) {
            (Some(sha256), _) => digest::of_file(path).map(|found| found == *sha256),
            (None, Some(pages)) => digest::of_pages(path).map(|found| found == *pages),
            (None, None) if stamp.is_copy_of(&self.stamp) => Ok(true),
            (None, None) => return Err(Damage::Unproved(name.to_owned())),
        };
        let same = content.map_err(FileError::of("read", path)).map_err(Damage::File)?;
        if same { Ok(Identity::Copied(stamp)) } else { Err(Damage::Changed(name.to_owned())) }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A frozen file.
    pub(crate) fn frozen() -> (tempfile::TempDir, PathBuf, Frozen) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::write(&path, "content").unwrap();
        let frozen = Frozen::freeze(&path, Proof::Content).unwrap();
        (dir, path, frozen)
    }

    #[test]
    fn a_file_that_was_not_touched_is_the_same_and_so_is_a_copy_of_it() {
        let (_dir, path, frozen) = frozen();
        assert_eq!(frozen.verify("disk", &path).unwrap(), Identity::Untouched);
        let moved = path.with_extension("copy");
        fs::copy(&path, &moved).unwrap();
        assert!(matches!(frozen.verify("disk", &moved).unwrap(), Identity::Copied(_)));
    }

    #[test]
    fn a_copy_without_a_digest_is_known_by_its_time_of_change() {
        let (_dir, path, _) = frozen();
        let frozen = Frozen::freeze(&path, Proof::Time).unwrap();
        let copy = path.with_extension("copy");
        fs::copy(&path, &copy).unwrap();
        let text = frozen.verify("memory", &copy).unwrap_err().to_string();
        assert!(
            text.ends_with("a copy that has lost the time at which the original was last changed"),
            "{text}"
        );
        let time = fs::metadata(&path).unwrap().modified().unwrap();
        let open = fs::File::open(&copy).unwrap();
        open.set_modified(time).unwrap();
        // On a file system that keeps only whole seconds nothing identifies it.
        if frozen.stamp.modified % 1_000_000_000 != 0 {
            assert!(matches!(frozen.verify("memory", &copy).unwrap(), Identity::Copied(_)));
        }
    }

    #[test]
    fn what_is_wrong_with_a_file_is_reported() {
        let (_dir, path, frozen) = frozen();
        fs::remove_file(&path).unwrap();
        assert_eq!(frozen.verify("disk", &path).unwrap_err().to_string(), "its file `disk` is gone");
        fs::write(&path, "cont").unwrap();
        let error = frozen.verify("disk", &path).unwrap_err().to_string();
        assert_eq!(error, "its file `disk` has 4 bytes instead of 7");
        fs::write(&path, "CONTENT").unwrap();
        assert_eq!(frozen.verify("disk", &path).unwrap_err().to_string(), "its file `disk` has been changed");
    }
}
