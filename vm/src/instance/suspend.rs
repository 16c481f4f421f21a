//! Suspending: the machine is stopped, and its memory and devices are kept beside its disk.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use host::events::{Event, Reporter};
use host::files::FileError;
use protocol::Command;
use time::OffsetDateTime;

use super::Instance;
use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record, SCHEMA_VERSION};
use super::suspension::{self, Suspension};
use crate::agent::Agent;
use crate::memory;
use crate::process::ProcessIdentity;
use crate::qmp::Qmp;
use crate::snapshot::Strategy;
use crate::snapshot::manifest::Frozen;
use crate::stamp::Stamp;

/// How long the guest may take to write its disk, on hardware acceleration.
const SYNC_LIMIT: Duration = Duration::from_secs(2);

/// How long the monitor may take to greet.
const MONITOR_LIMIT: Duration = Duration::from_secs(5);

/// How long memory and devices may take to be saved.
const SAVE_LIMIT: Duration = Duration::from_mins(1);

/// How long QEMU may take to close its disks and end.
const QUIT_LIMIT: Duration = Duration::from_secs(10);

impl Instance {
    /// Keeps the running machine's memory and devices, and ends QEMU. The machine goes on if that fails.
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
        let strategy = way_to_suspend(live)?;
        self.sync(live, reporter).await;
        let qmp = Qmp::connect(&live.qmp, MONITOR_LIMIT).await?;
        qmp.stop().await?;
        let at = OffsetDateTime::now_utc();
        let saved = self.save(&qmp, live, process, strategy).await;
        match saved {
            Ok(files) => {
                qmp.quit().await?;
                process.gone(QUIT_LIMIT).await?;
                self.note_suspension(live, strategy, at, files)
            }
            Err(error) => {
                suspension::forget(&self.dir)?;
                qmp.cont().await?;
                Err(error)
            }
        }
    }

    /// Has the guest write its disk, so that it is as good as after a shutdown even if the memory is lost. A guest that does not
    /// answer is suspended all the same.
    async fn sync(&self, live: &Live, reporter: &dyn Reporter) {
        let limit = SYNC_LIMIT * live.accelerator.patience();
        let synced =
            async { Agent::connect(&live.agent, MONITOR_LIMIT).await?.call(Command::Sync, limit).await };
        if let Err(error) = synced.await {
            reporter.report(&Event::Notice(&format!("the guest has not synced its disk: {error}")));
        }
    }

    async fn save(
        &self,
        qmp: &Qmp,
        live: &Live,
        process: ProcessIdentity,
        strategy: Strategy,
    ) -> Result<BTreeMap<String, Frozen>, InstanceError> {
        let state = match strategy {
            Strategy::Template => self.dir.devices(),
            Strategy::MappedRam => self.dir.savevm(),
        };
        qmp.save(strategy, &state, SAVE_LIMIT).await?;
        let mut files = vec![(state, strategy == Strategy::Template)];
        if let Some(number) = live.memory {
            let path = self.dir.memory();
            let memory = memory::of_process(process, number)?;
            let to = path.clone();
            let stored = tokio::task::spawn_blocking(move || memory::store(&memory, &to));
            stored.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
            files.push((path, false));
        }
        Ok(Frozen::freeze_all(files)?)
    }

    /// Says that the machine is suspended. QEMU must have ended: only then is the overlay what it will be.
    fn note_suspension(
        &self,
        live: &Live,
        strategy: Strategy,
        at: OffsetDateTime,
        files: BTreeMap<String, Frozen>,
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
            strategy,
            fingerprint: live.fingerprint.clone(),
            config: live.config.clone(),
            rotated: live.rotated,
            disk: disk.map_err(FileError::of("sync", &overlay))?,
            files,
        };
        Ok(record::write(&self.dir.suspension(), &suspension)?)
    }
}

/// Memory that QEMU shares is copied from here; else QEMU has to write it.
fn way_to_suspend(live: &Live) -> Result<Strategy, InstanceError> {
    match live.memory {
        Some(_) => Ok(Strategy::Template),
        None if live.can_map_memory => Ok(Strategy::MappedRam),
        None => Err(InstanceError::CannotSuspend),
    }
}
