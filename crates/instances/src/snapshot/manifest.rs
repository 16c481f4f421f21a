//! What is known about a snapshot: its fingerprint, and what each of its files was when it was frozen.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::digest;
use base::files::{FileError, PRIVATE_FILE, read_document, write_json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vm::saving::Strategy;
use vm::stamp::Stamp;

use super::{Fingerprint, Snapshot, SnapshotDir};
use crate::checked::{self, Checked as _, Impossible};

/// Version of the manifest's format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

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
    /// SHA-256 of small files.
    pub sha256: Option<String>,
    /// SHA-256 of memory, by [`digest::of_pages`]. None for a suspended machine's, which would take longer to hash than to write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<String>,
}

/// By what a file that has been copied can be told from a damaged one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// By its time of change only.
    Time,
    /// By all that is in it.
    Content,
    /// By its pages that are not all zeroes.
    Pages,
}

/// How a file was found to be the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// It has not been touched.
    Untouched,
    /// It is a copy, with this stamp.
    Copied(Stamp),
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
    /// A value of the manifest cannot be right.
    #[error("its manifest is not valid: {0}")]
    Impossible(#[from] Impossible),
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
    /// A file is not the one that it was, and what a copy could be told by was not noted, or was lost on the way.
    #[error(
        "its file `{0}` is another one, or a copy that has lost the time at which the original was last changed"
    )]
    Unproved(String),
    /// The operating system does not let it be looked at.
    #[error("{0}")]
    File(FileError),
}

impl Frozen {
    /// Makes the file at `path` read-only and notes what it is, and what `proof` of a copy takes.
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
    pub fn verify(&self, name: &str, path: &Path) -> Result<Identity, Unusable> {
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
            return Ok(Identity::Untouched);
        }
        // A copy in another place has another inode, and perhaps the same content.
        let content = match (&self.sha256, &self.pages) {
            (Some(sha256), _) => digest::of_file(path).map(|found| found == *sha256),
            (None, Some(pages)) => digest::of_pages(path).map(|found| found == *pages),
            (None, None) if stamp.is_copy_of(&self.stamp) => Ok(true),
            (None, None) => return Err(Unusable::Unproved(name.to_owned())),
        };
        let same = content.map_err(FileError::of("read", path)).map_err(Unusable::File)?;
        if same { Ok(Identity::Copied(stamp)) } else { Err(Unusable::Changed(name.to_owned())) }
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
        let manifest: Self = serde_json::from_slice(text).map_err(Unusable::Invalid)?;
        checked::entries("the name of a file", &manifest.files)?;
        checked::digest("the image's digest", &manifest.fingerprint.image)?;
        manifest.fingerprint.topology.check()?;
        Ok(manifest)
    }
}

impl Snapshot {
    /// The snapshot in `root`, if it is complete and may be used. Its files are not looked at.
    ///
    /// # Errors
    /// With the reason why it cannot be used.
    pub(super) fn read(root: PathBuf) -> Result<Self, Unusable> {
        let dir = SnapshotDir::new(root);
        match read_document(&dir.retired()) {
            Ok(reason) => {
                return Err(Unusable::Retired(String::from_utf8_lossy(&reason).trim_end().to_owned()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Unusable::File(FileError::of("read", &dir.retired())(error))),
        }
        let text = match read_document(&dir.manifest()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Unusable::Incomplete),
            Err(error) => return Err(Unusable::File(FileError::of("read", &dir.manifest())(error))),
        };
        Ok(Self { manifest: SnapshotManifest::parse(&text)?, dir })
    }

    /// Proves that every file is what it was when the snapshot was made. Of copies, as a home that was moved to another file system or
    /// put into the image of a container has them, the content is proved once, and noted where that is possible.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn verify(&self) -> Result<(), Unusable> {
        let note = self.dir.copies();
        let read = read_document(&note).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let mut known: BTreeMap<String, Stamp> = read.unwrap_or_default();
        let mut news = false;
        for (name, frozen) in &self.manifest.files {
            let path = self.dir.root().join(name);
            if known.get(name).is_some_and(|copy| Stamp::of(&path).is_ok_and(|found| found == *copy)) {
                continue;
            }
            if let Identity::Copied(stamp) = frozen.verify(name, &path)? {
                known.insert(name.clone(), stamp);
                news = true;
            }
        }
        if news {
            // Where nothing can be written, they are proved again the next time.
            let _ = write_json(&note, &known, PRIVATE_FILE);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;

    fn frozen() -> (tempfile::TempDir, PathBuf, Frozen) {
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
        // A file system that keeps whole seconds only leaves nothing to know it by.
        if frozen.stamp.modified % 1_000_000_000 != 0 {
            assert!(matches!(frozen.verify("memory", &copy).unwrap(), Identity::Copied(_)));
        }
    }

    #[test]
    fn a_snapshot_that_was_copied_is_proved_once() {
        let (root, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = root.path().join("memory");
        fs::write(&path, vec![7; 9000]).unwrap();
        let files = Frozen::freeze_all([(path.clone(), Proof::Pages)]).unwrap();
        fs::copy(&path, copy.path().join("memory")).unwrap();
        let snapshot = Snapshot {
            manifest: SnapshotManifest {
                format_version: FORMAT_VERSION,
                strategy: Strategy::Template,
                created_at: OffsetDateTime::UNIX_EPOCH,
                fingerprint: crate::snapshot::fingerprint::tests::sample(),
                files,
            },
            dir: SnapshotDir::new(copy.path()),
        };
        snapshot.verify().unwrap();
        let noted = fs::metadata(snapshot.dir.copies()).unwrap().modified().unwrap();
        snapshot.verify().unwrap();
        assert_eq!(fs::metadata(snapshot.dir.copies()).unwrap().modified().unwrap(), noted);
        // What is noted holds for that copy alone.
        fs::remove_file(copy.path().join("memory")).unwrap();
        fs::write(copy.path().join("memory"), vec![8; 9000]).unwrap();
        assert_eq!(snapshot.verify().unwrap_err().to_string(), "its file `memory` has been changed");
    }

    fn manifest() -> SnapshotManifest {
        let (_dir, _, frozen) = frozen();
        SnapshotManifest {
            format_version: FORMAT_VERSION,
            strategy: Strategy::Template,
            created_at: OffsetDateTime::UNIX_EPOCH,
            fingerprint: crate::snapshot::fingerprint::tests::sample(),
            files: BTreeMap::from([("disk.qcow2".to_owned(), frozen)]),
        }
    }

    #[test]
    fn a_manifest_that_leads_out_of_its_directory_is_refused() {
        let (mut escaping, frozen) = (manifest(), manifest().files.remove("disk.qcow2").unwrap());
        escaping.files.insert("../../../etc/shadow".into(), frozen);
        let text = serde_json::to_vec(&escaping).unwrap();
        let error = SnapshotManifest::parse(&text).unwrap_err().to_string();
        assert_eq!(error, "its manifest is not valid: the name of a file cannot be \"../../../etc/shadow\"");
        let mut large = manifest();
        large.fingerprint.topology.memory_mib = u64::MAX;
        let error = SnapshotManifest::parse(&serde_json::to_vec(&large).unwrap()).unwrap_err();
        assert!(matches!(error, Unusable::Impossible(_)), "{error}");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(
            bytes: Vec<u8>,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let mut changed = serde_json::to_vec(&manifest()).unwrap();
            for (at, byte) in changes {
                let at = at.index(changed.len());
                changed[at] = byte;
            }
            for text in [bytes, changed] {
                if let Ok(manifest) = SnapshotManifest::parse(&text) {
                    prop_assert!(checked::entries("the name of a file", &manifest.files).is_ok());
                }
            }
        }
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
