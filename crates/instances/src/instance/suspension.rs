//! A suspended machine: memory and devices on one side, the overlay on the other, valid together only.
//!
//! The overlay is the user's data, and it has priority: memory that was saved with another state of it is dropped. Each launch of a
//! machine raises the session's generation, and the record of a suspension is removed before its machine is resumed, so that
//! no memory is ever loaded twice, or after the disk has changed.

use std::fs;
use std::path::PathBuf;

use base::files::FileError;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use vm::error::one_line;
use vm::stamp::Stamp;

use super::dir::InstanceDir;
use super::record::{self, RecordError, Session};
use super::remove;
use crate::checked::{self, Checked, Impossible};
use crate::saved::SavedState;
use crate::saved::frozen::Damage;
use crate::saved::load::Loadable;

/// A suspended machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suspension {
    /// [`record::SCHEMA_VERSION`] of the writer.
    pub schema_version: u32,
    /// When it was stopped.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// The session's generation while it ran.
    pub generation: u64,
    /// The volume with settings that the guest has mounted, as the home names it.
    pub config: PathBuf,
    /// Whether the guest has the session's secrets, or the image's placeholders.
    pub rotated: bool,
    /// The overlay as it was left.
    pub disk: Stamp,
    /// Memory and devices.
    #[serde(flatten)]
    pub state: SavedState,
}

impl Checked for Suspension {
    fn check(&self) -> Result<(), Impossible> {
        checked::generation(self.generation)?;
        checked::named("the volume with settings", &self.config)?;
        self.state.check()
    }
}

/// Whether a suspended machine can be resumed.
#[derive(Debug)]
pub(super) enum Goes {
    /// There is none.
    Nowhere,
    /// It can.
    On(Box<Suspension>),
    /// It cannot; and why.
    Not(String),
}

impl Suspension {
    /// The suspended machine of the instance in `dir`, if the overlay, the session and its own files are as it left them. A record
    /// that is invalid does not prevent the use of the data.
    ///
    /// # Errors
    /// When a file cannot be examined, or a newer program wrote the record. It may be valid, so nothing is dropped for that.
    pub(super) fn of(dir: &InstanceDir, session: &Session) -> Result<Goes, RecordError> {
        match record::read::<Self>(&dir.suspension()) {
            Ok(None) => Ok(Goes::Nowhere),
            Ok(Some(suspension)) => Ok(match suspension.obstacle(dir, session)? {
                Some(obstacle) => Goes::Not(obstacle),
                None => Goes::On(Box::new(suspension)),
            }),
            Err(error @ (RecordError::File(_) | RecordError::Newer { .. })) => Err(error),
            Err(error) => Ok(Goes::Not(one_line(&error))),
        }
    }

    /// The saved state of the machine of the instance in `dir`, ready to be loaded.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub(super) fn loadable(&self, dir: &InstanceDir) -> Result<Loadable, FileError> {
        Loadable::prepare(self.state.strategy, dir.state_files())
    }

    fn obstacle(&self, dir: &InstanceDir, session: &Session) -> Result<Option<String>, FileError> {
        if self.generation != session.generation {
            return Ok(Some(format!(
                "its memory is of generation {}, and its disk of generation {}",
                self.generation, session.generation
            )));
        }
        let overlay = dir.overlay();
        let disk = Stamp::of(&overlay).map_err(FileError::of("look at", &overlay))?;
        if disk != self.disk && !disk.is_copy_of(&self.disk) {
            return Ok(Some(
                "its disk has been changed since, or is a copy that has lost the time of its last change"
                    .to_owned(),
            ));
        }
        match self.state.verify(dir.root(), None) {
            Ok(()) => Ok(None),
            Err(Damage::File(error)) => Err(error),
            Err(reason) => Ok(Some(reason.to_string())),
        }
    }
}

/// Removes the suspended machine: its record first, so that what is left of it is never taken for one.
///
/// # Errors
/// When a file cannot be removed.
pub(super) fn forget(dir: &InstanceDir) -> Result<(), FileError> {
    consume(dir)?;
    dir.state_files().all().try_for_each(|file| remove(file).map(drop))
}

/// Moves the files of a suspended machine away that has been resumed. Removing so much memory takes longer than a start may.
///
/// # Errors
/// When one cannot be moved.
pub(super) fn put_aside(dir: &InstanceDir) -> Result<(), FileError> {
    let spent = dir.spent();
    if fs::symlink_metadata(&spent).is_ok_and(|data| !data.is_dir()) {
        remove(&spent)?;
    }
    base::files::create_private_dir(&spent)?;
    for file in dir.state_files().all() {
        let aside = dir.spent().join(file.file_name().unwrap_or_default());
        match std::fs::rename(file, aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(FileError::of("rename", file)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes sure that the suspended machine cannot be resumed a second time.
///
/// # Errors
/// When its record cannot be removed.
pub(super) fn consume(dir: &InstanceDir) -> Result<(), FileError> {
    if remove(&dir.suspension())? {
        // Until the directory is on the disk, a crash of the host could bring the record back.
        let synced = std::fs::File::open(dir.root()).and_then(|root| root.sync_all());
        synced.map_err(FileError::of("write", dir.root()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record as the last version without the type of saved states wrote it.
    const DOCUMENT: &str = include_str!("fixtures/suspended-schema-1.json");

    #[test]
    fn a_document_of_an_earlier_program_is_read_and_written_alike() {
        let suspension: Suspension = serde_json::from_str(DOCUMENT).unwrap();
        suspension.check().unwrap();
        assert_eq!(suspension.state.fingerprint.topology.memory_mib, 2048);
        let (then, now): (serde_json::Value, _) =
            (serde_json::from_str(DOCUMENT).unwrap(), serde_json::to_value(suspension).unwrap());
        assert_eq!(now, then);
    }
}
