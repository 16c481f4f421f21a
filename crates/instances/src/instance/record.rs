//! The durable record of an instance: what outlives a stop, an update and a reboot.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base::dangling::if_present;
use base::files::{self, FileError, PRIVATE_FILE};
use image::arch::Arch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

pub use crate::checked::SCHEMA_VERSION;
use crate::checked::{self, Checked, Impossible};
pub use crate::images::identity::ImageIdentity;
use crate::name::InstanceName;
pub use crate::secrets::Secrets;

/// What outlives a stop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// Name of the instance.
    pub name: InstanceName,
    /// When it was first started.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// Architecture of the machine that was started last; none in records of older programs.
    #[serde(default)]
    pub arch: Option<Arch>,
    /// Name of the stack that it belongs to; none for the default one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<String>,
    /// The directory that it belongs to, for example a worktree; none where it was named by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<PathBuf>,
    /// Whether ports that no one has chosen are automatic, instead of the manifest's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic_ports: bool,
    /// Host ports that were given by flag or are automatic, by their names in the manifest.
    pub ports: BTreeMap<String, u16>,
    /// The session whose data the overlay has; none after a reset.
    pub session: Option<Session>,
}

/// What is below the overlay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Session {
    /// The image below the overlay.
    pub image: ImageIdentity,
    /// The snapshot whose frozen disk is between the image and the overlay; none where the overlay is on the image itself.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// The stack's secrets in this session by their names in the manifest; none where the image's placeholders stay.
    #[serde(default)]
    pub secrets: Option<Secrets>,
    /// Whether it is unknown if the guest has these secrets: they were sent, and no answer came.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unconfirmed: bool,
    /// How many machines have been started on the overlay. Memory that was saved with another number does not fit the disk.
    #[serde(default)]
    pub generation: u64,
    /// When the overlay was made.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
}

impl Session {
    /// A session that starts now, on `image` or on a snapshot of it.
    pub fn new(image: ImageIdentity, snapshot: Option<String>, secrets: Option<Secrets>) -> Self {
        Self {
            image,
            snapshot,
            secrets,
            unconfirmed: false,
            generation: 0,
            created_at: OffsetDateTime::now_utc(),
        }
    }
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// It is not a file, or longer than any record.
    #[error("`{}` is not a valid record", path.display())]
    NoDocument {
        /// The record.
        path: PathBuf,
        /// What it is.
        #[source]
        source: io::Error,
    },
    /// It does not have the format of this program.
    #[error("`{}` is not a valid record", path.display())]
    Invalid {
        /// The record.
        path: PathBuf,
        /// The first error.
        #[source]
        source: serde_json::Error,
    },
    /// A value of it is invalid.
    #[error("`{}` is not a valid record", path.display())]
    Impossible {
        /// The record.
        path: PathBuf,
        /// The value.
        #[source]
        source: Impossible,
    },
    /// A newer program wrote it.
    #[error("`{}` has schema version {found}, this program reads up to {known}", path.display())]
    Newer {
        /// The record.
        path: PathBuf,
        /// The version that it claims.
        found: u32,
        /// The newest that can be read.
        known: u32,
    },
}

impl Record {
    /// A record for an instance that has not been started yet.
    pub fn new(name: InstanceName) -> Self {
        Self {
            schema_version: SCHEMA_VERSION,
            name,
            created_at: OffsetDateTime::now_utc(),
            arch: None,
            stack: None,
            directory: None,
            automatic_ports: false,
            ports: BTreeMap::new(),
            session: None,
        }
    }
}

impl Checked for Record {
    fn check(&self) -> Result<(), Impossible> {
        self.directory.iter().try_for_each(|path| checked::absolute("the directory", path))?;
        self.stack.iter().try_for_each(|name| checked::label("the stack", name))?;
        checked::few("the number of ports", self.ports.len())?;
        for (name, port) in &self.ports {
            checked::label("the name of a port", name)?;
            if *port == 0 {
                return checked::impossible("a port", port);
            }
        }
        let Some(Session { image, snapshot, secrets, generation, .. }) = &self.session else { return Ok(()) };
        checked::named("the image", &image.path)?;
        snapshot.iter().try_for_each(|name| checked::entry("the snapshot", name))?;
        let secrets = secrets.iter().flatten();
        secrets.clone().try_for_each(|(name, _)| checked::label("the name of a secret", name))?;
        checked::few("the number of secrets", secrets.count())?;
        checked::generation(*generation)
    }
}

/// Reads the record at `path`; `None` when there is none.
///
/// # Errors
/// When it cannot be read, is not a record, has an invalid value, or was written by a newer program.
pub fn read<T: DeserializeOwned + Checked>(path: &Path) -> Result<Option<T>, RecordError> {
    let bytes = match if_present(path, files::read_document(path)) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(source) if source.kind() == io::ErrorKind::InvalidData => {
            return Err(RecordError::NoDocument { path: path.to_owned(), source });
        }
        Err(error) => return Err(FileError::of("read", path)(error).into()),
    };
    let invalid = |source| RecordError::Invalid { path: path.to_owned(), source };
    let version = version(&bytes).map_err(invalid)?;
    if version > T::VERSION {
        return Err(RecordError::Newer { path: path.to_owned(), found: version, known: T::VERSION });
    }
    let record = T::parse(version, &bytes).map_err(invalid)?;
    record.check().map_err(|source| RecordError::Impossible { path: path.to_owned(), source })?;
    Ok(Some(record))
}

/// The version that the record in `bytes` claims.
fn version(bytes: &[u8]) -> serde_json::Result<u32> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Version {
        schema_version: u32,
    }
    Ok(serde_json::from_slice::<Version>(bytes)?.schema_version)
}

/// Rewrites the record at `path` in this program's format, if an older one wrote it. An invalid one is left as it is, for
/// the command that needs it to report.
///
/// # Errors
/// When it cannot be written.
pub(super) fn renew<T: Serialize + DeserializeOwned + Checked>(path: &Path) -> Result<(), FileError> {
    let Ok(bytes) = files::read_document(path) else { return Ok(()) };
    if version(&bytes).is_ok_and(|version| version < T::VERSION)
        && let Ok(Some(record)) = read::<T>(path)
    {
        write(path, &record)?;
    }
    Ok(())
}

/// Replaces the record at `path`, readable by its owner only.
///
/// # Errors
/// When it cannot be written; the old one is then untouched.
pub fn write<T: Serialize>(path: &Path, record: &T) -> Result<(), FileError> {
    files::write_json(path, record, PRIVATE_FILE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use protocol::Secret;
    use vm::stamp::Stamp;

    use super::super::live::tests::live;
    use super::super::live::{Live, Noted};
    use super::super::suspension::Suspension;
    use super::*;

    fn suspension() -> Suspension {
        Suspension {
            schema_version: SCHEMA_VERSION,
            at: OffsetDateTime::UNIX_EPOCH,
            generation: 3,
            config: "instances/default/config.img".into(),
            rotated: true,
            disk: Stamp::of(Path::new("/")).unwrap(),
            state: crate::saved::state::tests::sample(BTreeMap::new()),
        }
    }

    /// Reads the bytes of a record: they give one with valid values, or an error that can be shown.
    fn withstands<T: DeserializeOwned + Checked>(path: &Path, bytes: &[u8]) -> Result<(), TestCaseError> {
        std::fs::write(path, bytes).unwrap();
        match read::<T>(path) {
            Ok(record) => prop_assert!(record.is_none_or(|record| record.check().is_ok())),
            Err(error) => {
                let shown = base::console::render_error(&error, None, false);
                prop_assert!(
                    !shown.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')),
                    "{shown:?}"
                );
            }
        }
        Ok(())
    }

    fn record() -> Record {
        Record {
            arch: Some(Arch::Amd64),
            ports: BTreeMap::from([("backend".into(), 30001)]),
            session: Some(Session {
                image: ImageIdentity { path: "/h/image.qcow2".into(), sha256: [0xab; 32].into(), size: 7 },
                snapshot: Some("amd64-template-1".into()),
                secrets: Some(BTreeMap::from([("key".into(), Secret::new("5ec"))])),
                unconfirmed: false,
                generation: 3,
                created_at: OffsetDateTime::UNIX_EPOCH,
            }),
            created_at: OffsetDateTime::UNIX_EPOCH,
            ..Record::new(InstanceName::default())
        }
    }

    #[test]
    fn a_record_reads_back_as_written_and_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instance.json");
        assert_eq!(read::<Record>(&path).unwrap(), None);
        write(&path, &record()).unwrap();
        assert_eq!(read::<Record>(&path).unwrap(), Some(record()));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        insta::assert_snapshot!(std::fs::read_to_string(&path).unwrap(), @r#"
        {
          "schemaVersion": 1,
          "name": "default",
          "createdAt": "1970-01-01T00:00:00Z",
          "arch": "amd64",
          "ports": {
            "backend": 30001
          },
          "session": {
            "image": {
              "path": "/h/image.qcow2",
              "sha256": "abababababababababababababababababababababababababababababababab",
              "size": 7
            },
            "snapshot": "amd64-template-1",
            "secrets": {
              "key": "5ec"
            },
            "generation": 3,
            "createdAt": "1970-01-01T00:00:00Z"
          }
        }
        "#);
    }

    #[test]
    fn a_newer_record_and_a_damaged_one_are_distinguished() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instance.json");
        std::fs::write(&path, r#"{"schemaVersion": 9, "shape": "unknown"}"#).unwrap();
        assert!(matches!(read::<Record>(&path), Err(RecordError::Newer { found: 9, .. })));
        std::fs::write(&path, r#"{"schemaVersion": 1"#).unwrap();
        assert!(matches!(read::<Record>(&path), Err(RecordError::Invalid { .. })));
    }

    #[test]
    fn a_record_that_leads_out_of_the_home_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("instance.json");
        let refused = |change: fn(&mut Record, &mut Session)| {
            let mut changed = record();
            let mut session = changed.session.take().unwrap();
            change(&mut changed, &mut session);
            changed.session = Some(session);
            write(&path, &changed).unwrap();
            match read::<Record>(&path) {
                Err(RecordError::Impossible { source, .. }) => source.to_string(),
                other => panic!("{other:?}"),
            }
        };
        let text = refused(|_, session| session.snapshot = Some("../../etc".into()));
        assert_eq!(text, "the snapshot cannot be \"../../etc\"");
        let text = refused(|_, session| session.image.path = "images/../../shadow".into());
        assert_eq!(text, "the image cannot be \"images/../../shadow\"");
        let text = refused(|_, session| session.generation = u64::MAX);
        assert_eq!(text, format!("the generation cannot be {}", u64::MAX));
        let text = refused(|record, _| record.ports = BTreeMap::from([("a\u{1b}".into(), 1)]));
        assert!(
            text.starts_with("the name of a port cannot be that: \"a\\u{1b}\" is not a valid name"),
            "{text}"
        );
        let text = refused(|record, _| record.ports = BTreeMap::from([("a".into(), 0)]));
        assert_eq!(text, "a port cannot be 0");
        let text = refused(|record, _| record.directory = Some("../worktree".into()));
        assert_eq!(text, "the directory cannot be \"../worktree\"");
        // A digest becomes part of a file's name.
        let text = serde_json::to_string(&record()).unwrap();
        std::fs::write(&path, text.replace(&"ab".repeat(32), "/../../x")).unwrap();
        let Err(RecordError::Invalid { source, .. }) = read::<Record>(&path) else { panic!("it was read") };
        assert!(source.to_string().starts_with("invalid SHA-256 \"/../../x\": "), "{source}");
    }

    #[test]
    fn a_device_at_the_path_of_a_record_is_not_read_to_its_end() {
        assert!(matches!(read::<Record>(Path::new("/dev/zero")), Err(RecordError::NoDocument { .. })));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(
            bytes: Vec<u8>,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("record.json");
            let changed = |mut whole: Vec<u8>| {
                for (at, byte) in &changes {
                    let at = at.index(whole.len());
                    whole[at] = *byte;
                }
                whole
            };
            for text in [&bytes, &changed(serde_json::to_vec(&record()).unwrap())] {
                withstands::<Record>(&path, text)?;
            }
            for text in [&bytes, &changed(serde_json::to_vec(&live(None, true)).unwrap())] {
                withstands::<Live>(&path, text)?;
                // What is searched for when the rest is invalid.
                let noted = Noted::read(&path);
                prop_assert!(noted.process.is_none_or(|process| checked::process(process).is_ok()));
            }
            for text in [&bytes, &changed(serde_json::to_vec(&suspension()).unwrap())] {
                withstands::<Suspension>(&path, text)?;
            }
        }
    }
}
