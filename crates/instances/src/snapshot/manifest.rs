//! The manifest of a snapshot: its saved state, and when it was created.

use std::io;
use std::path::PathBuf;

use base::files::{FileError, PRIVATE_FILE, read_document, write_json};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::{Snapshot, SnapshotDir};
use crate::checked::{Checked as _, Impossible};
use crate::saved::SavedState;
use crate::saved::frozen::Damage;

/// Version of the manifest's format that this program writes and reads.
pub const FORMAT_VERSION: u32 = 2;

/// What is known about a snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnapshotManifest {
    /// [`FORMAT_VERSION`] of the writer.
    pub format_version: u32,
    /// When the machine was stopped for it.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Memory and devices, and the disk that they belong to.
    #[serde(flatten)]
    pub state: SavedState,
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
    /// A value of the manifest is invalid.
    #[error("its manifest is not valid: {0}")]
    Impossible(#[from] Impossible),
    /// A file is not what it was.
    #[error(transparent)]
    Damaged(Damage),
    /// The operating system refuses to read it.
    #[error("{0}")]
    File(FileError),
}

impl From<Damage> for Unusable {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::File(error) => Self::File(error),
            damage => Self::Damaged(damage),
        }
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
        manifest.state.check()?;
        Ok(manifest)
    }
}

impl Snapshot {
    /// The snapshot in `root`, if it is complete and may be used. Its files are not verified.
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

    /// Verifies that every file is what it was when the snapshot was created. Of copies, as a home that was moved to another file system or
    /// put into the image of a container has them, the content is verified once, and recorded where that is possible.
    ///
    /// # Errors
    /// With the first that is not.
    pub fn verify(&self) -> Result<(), Unusable> {
        Ok(self.manifest.state.verify(self.dir.root(), Some(&self.dir.copies()))?)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::{any, prop, prop_assert, proptest};

    use super::*;
    use crate::checked;
    use crate::saved::frozen::tests::frozen;
    use crate::saved::state::tests::sample;

    fn manifest() -> SnapshotManifest {
        let (_dir, _, frozen) = frozen();
        SnapshotManifest {
            format_version: FORMAT_VERSION,
            created_at: OffsetDateTime::UNIX_EPOCH,
            state: sample(BTreeMap::from([("disk.qcow2".to_owned(), frozen)])),
        }
    }

    /// The manifest as the last version without the type of saved states wrote it.
    const DOCUMENT: &str = include_str!("fixtures/snapshot-format-2.json");

    #[test]
    fn a_document_of_an_earlier_program_is_read_and_written_alike() {
        let manifest = SnapshotManifest::parse(DOCUMENT.as_bytes()).unwrap();
        assert!(manifest.state.files["memory"].pages.is_some());
        let (then, now): (serde_json::Value, _) =
            (serde_json::from_str(DOCUMENT).unwrap(), serde_json::to_value(manifest).unwrap());
        assert_eq!(now, then);
    }

    #[test]
    fn a_manifest_that_leads_out_of_its_directory_is_refused() {
        let (mut escaping, frozen) = (manifest(), manifest().state.files.remove("disk.qcow2").unwrap());
        escaping.state.files.insert("../../../etc/shadow".into(), frozen);
        let text = serde_json::to_vec(&escaping).unwrap();
        let error = SnapshotManifest::parse(&text).unwrap_err().to_string();
        assert_eq!(error, "its manifest is not valid: the name of a file cannot be \"../../../etc/shadow\"");
        let mut large = manifest();
        large.state.fingerprint.topology.memory_mib = u64::MAX;
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
                    prop_assert!(checked::entries("the name of a file", &manifest.state.files).is_ok());
                }
            }
        }
    }

    #[test]
    fn a_manifest_of_another_format_is_refused_by_number() {
        let refused = |text: &[u8]| SnapshotManifest::parse(text).unwrap_err().to_string();
        assert_eq!(refused(br#"{"formatVersion": 3}"#), "its format is 3, and this program reads 2");
        assert_eq!(refused(br#"{"formatVersion": 1}"#), "its format is 1, and this program reads 2");
    }
}
