//! Suspending: the machine is stopped, and its memory and devices are kept beside its disk.

use std::fs;
use std::time::Duration;

use base::events::Reporter;
use base::files::FileError;
use time::OffsetDateTime;
use vm::memory::StoppedMemory;
use vm::process::ProcessIdentity;
use vm::qmp::Qmp;
use vm::stamp::Stamp;

use super::Instance;
use super::error::InstanceError;
use super::hold::{MONITOR_LIMIT, end_held};
use super::live::Live;
use super::record::{self, Record, SCHEMA_VERSION};
use super::removed::RemovedDisk;
use super::standstill::{self, CANCEL_LIMIT};
use super::suspension::{self, Suspension};
use crate::home::HomeExt;
use crate::saved::SavedState;
use crate::saved::frozen::Proof;
use crate::saved::save::Way;

/// How long memory and devices may take to be saved.
const SAVE_LIMIT: Duration = Duration::from_mins(1);

impl Instance {
    /// Keeps the running machine's memory and devices, and ends QEMU. The machine keeps running if that fails.
    ///
    /// # Errors
    /// When the state cannot be saved. Nothing is left of it then, and the machine runs.
    pub(super) async fn suspend(
        &self,
        live: &Live,
        process: ProcessIdentity,
        reporter: &dyn Reporter,
    ) -> Result<(), InstanceError> {
        suspension::forget(&self.dir)?;
        let removed = RemovedDisk::of(process, &self.dir.overlay())?;
        let way = way(live, process)?;
        // It takes one client at a time.
        let _ = self.mend_sockets(live).await;
        let qmp = Qmp::reach(&live.machine.qmp, MONITOR_LIMIT).await?;
        self.hold(&qmp, live, reporter).await?;
        let at = OffsetDateTime::now_utc();
        let saved = async {
            let state = self.save(live, &qmp, way).await?;
            let copy = match removed {
                Some(removed) => Some(removed.copy().await?),
                None => None,
            };
            Ok((state, copy))
        };
        match saved.await {
            Ok((state, copy)) => {
                let ended = async {
                    // What QEMU has open is lost with it.
                    copy.map_or(Ok(()), |copy| self.put_back(copy, reporter))?;
                    end_held(&qmp, process).await?;
                    self.note_suspension(live, at, state)
                };
                let ended = ended.await;
                if ended.is_err() {
                    // No record names it, so it would only take space.
                    suspension::forget(&self.dir)?;
                }
                ended
            }
            Err(error) => {
                qmp.cancel_save(CANCEL_LIMIT).await?;
                suspension::forget(&self.dir)?;
                match standstill::continue_machine(&qmp, live).await {
                    // Perhaps for the same reason; the first error is the better one.
                    Ok(()) | Err(InstanceError::DiskFails { .. }) => Err(error),
                    Err(error) => Err(error),
                }
            }
        }
    }

    async fn save(&self, live: &Live, qmp: &Qmp, way: Way) -> Result<SavedState, InstanceError> {
        let (files, strategy) = (self.dir.state_files(), way.strategy());
        way.save(qmp, &files, SAVE_LIMIT).await?;
        way.complete(&files).await?;
        // To hash the memory would take longer than to write it.
        let files = files.freeze(strategy, Proof::Time)?;
        Ok(SavedState { strategy, fingerprint: live.machine.fingerprint.clone(), files })
    }

    /// Records that the machine is suspended. QEMU must have ended: only then is the overlay final.
    fn note_suspension(
        &self,
        live: &Live,
        at: OffsetDateTime,
        state: SavedState,
    ) -> Result<(), InstanceError> {
        let overlay = self.dir.overlay();
        let disk =
            fs::File::open(&overlay).and_then(|file| file.sync_all()).and_then(|()| Stamp::of(&overlay));
        let record = record::read::<Record>(&self.dir.record())?;
        let generation = record.and_then(|record| record.session).map_or(0, |session| session.generation);
        let suspension = Suspension {
            schema_version: SCHEMA_VERSION,
            at,
            generation,
            config: self.home.named(&live.machine.config),
            rotated: live.run.rotated,
            disk: disk.map_err(FileError::of("sync", &overlay))?,
            state,
        };
        Ok(record::write(&self.dir.suspension(), &suspension)?)
    }
}

/// The best possible way to save the state. A host may refuse that a process reads the memory of another one.
fn way(live: &Live, process: ProcessIdentity) -> Result<Way, InstanceError> {
    match live.machine.memory.map(|held| StoppedMemory::of(process, held)) {
        Some(Ok(memory)) => Ok(Way::Read(memory)),
        _ if live.machine.can_map_memory => Ok(Way::ByQemu),
        Some(Err(error)) => Err(error.into()),
        None => Err(InstanceError::CannotSuspend),
    }
}
