//! Starting: from a suspended machine, a snapshot, or a cold boot, until every service answers.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::events::{Event, Reporter, Timings};
use base::files::move_dir;
use time::OffsetDateTime;

use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record};
use super::state::{Fault, State, Viewer, inspect};
use super::{Instance, meanwhile};
use crate::images::store::Images;
use crate::ports::{FilePort, PortRequest};
use crate::snapshot::store::Store;
use attempt::{Attempt, Failure};
pub use join::Wish;
use origin::Beginning;
pub(super) use origin::Origin;
pub use plan::MachineOptions;
pub(super) use plan::{MachinePlan, Plan};
use vm::console::GuestTrouble;
use vm::error::one_line;
use vm::home::DEFAULT_STACK;
use vm::saving::Strategy;

mod attempt;
mod join;
mod origin;
mod plan;

/// How long the services may take on hardware acceleration; multiplied by the accelerator's patience.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(40);

/// The options of a start.
pub struct StartOptions<'a> {
    /// The machine.
    pub machine: MachineOptions,
    /// Host ports given by flag.
    pub ports: Vec<PortRequest>,
    /// Ports that files of settings name, whose values `variable` looks up.
    pub file_ports: Vec<FilePort>,
    /// Looks up the environment variables that the image's manifest names for its ports.
    pub variable: &'a dyn Fn(&str) -> Option<String>,
    /// Longest wait for the services of a machine that is resumed from saved memory.
    pub warm_timeout: Option<Duration>,
    /// Whether saved memory is used where there is some, and a snapshot created where there is none.
    pub warm: bool,
    /// How a snapshot keeps memory; by default the best strategy that is possible.
    pub strategy: Option<Strategy>,
    /// Whether a new session gets secrets of its own.
    pub rotate: bool,
    /// The directory that the instance belongs to, which its record notes.
    pub directory: Option<PathBuf>,
    /// Whether ports that no one has chosen are automatic, from this start on.
    pub automatic_ports: bool,
    /// How long a machine runs that is started now. One that runs already lasts longer, where this says so.
    pub lasts: Lasts,
}

/// How long a machine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Until it is stopped.
    UntilStopped,
    /// Until it is stopped, or the last run that uses it has ended.
    UntilRunsEnd,
}

/// An instance that is ready.
#[derive(Debug, Clone)]
pub struct Started {
    /// What runs.
    pub live: Live,
    /// Whether it ran before.
    pub already_running: bool,
    /// The options that have no effect before the instance has been stopped.
    pub unmet: Vec<Wish>,
}

/// When a start began.
#[derive(Clone, Copy)]
struct Begun {
    instant: Instant,
    at: OffsetDateTime,
}

impl Instance {
    /// Starts the instance and returns when every service answers. One that runs already is waited for and reported as
    /// it is. One that a sudden end of QEMU or of a command has left broken is repaired first; its data stays.
    ///
    /// A suspended machine is resumed. A new session starts from a snapshot, which is created when there is none that fits.
    /// When either fails, the machine is booted instead, and that is reported.
    ///
    /// When the future is dropped, QEMU is killed; [`Instance::recover_interrupted`] then removes the traces, and so does
    /// the next start.
    ///
    /// # Errors
    /// When the host, the image, the ports or the guest do not allow it. Then nothing is left running, and nothing is left
    /// of an instance that did not exist before but its logs.
    pub async fn start(
        &self,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Started, InstanceError> {
        let begun = Begun { instant: Instant::now(), at: OffsetDateTime::now_utc() };
        let lock = self.lock(reporter).await?;
        let outcome = Box::pin(self.start_holding(begun, options, reporter)).await;
        if outcome.is_err() && !self.exists()? {
            lock.remove(self.dir.lock())?;
        }
        outcome
    }

    /// The same, where the instance's lock is held.
    async fn start_holding(
        &self,
        begun: Begun,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Started, InstanceError> {
        let _images = Images::new(&self.home).keep(reporter).await?;
        let used_up = self.has_used_up_memory()?;
        let mut state = self.settled(reporter).await?;
        if let State::Running(live) = &state
            && let Some(process) = live.machine.process
        {
            let joined = Box::pin(self.join(live.clone(), options, reporter));
            match meanwhile::unless_gone(process, joined).await? {
                Some(started) => return Ok(started),
                // It was ending when its state was read, as after a kill.
                None => state = self.settled(reporter).await?,
            }
        }
        let record = match state {
            State::Running(live) => return self.join(live, options, reporter).await,
            State::Stopped(record) | State::Suspended(record) => record,
            State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
            State::Broken(faults) => self.despite(faults, options)?,
            _ => Record::new(self.name.clone()),
        };
        self.released().await?;
        let timings = Timings::new(reporter);
        let record = Record {
            stack: Some(self.home.stack()).filter(|stack| *stack != DEFAULT_STACK).map(str::to_owned),
            directory: options.directory.clone().or(record.directory),
            automatic_ports: options.automatic_ports || record.automatic_ports,
            ..record
        };
        let plan = self.plan(&record, options, &timings).await?;
        let record = Record { arch: Some(plan.machine.topology.arch), ..record };
        let attempt = Attempt { instance: self, plan: &plan, options, timings: &timings, begun };
        let mut beginning = self.beginning(&record, &plan, options, &timings).await?;
        if used_up && matches!(beginning.origin, Origin::Cold) {
            let because = || "the suspended memory was used up by a start that was cut short".to_owned();
            beginning.because.get_or_insert_with(because);
        }
        let outcome = self.warm_or_cold(&attempt, record, beginning, &timings).await;
        if outcome.is_err() {
            let used_up = self.has_used_up_memory()?;
            self.clean_up().await?;
            if used_up {
                reporter.report(&Event::Notice(&self.memory_is_used_up()));
            }
        }
        outcome.map(|live| Started { live, already_running: false, unmet: Vec::new() })
    }

    /// The state of the instance, once repairable faults have been repaired.
    async fn settled(&self, reporter: &dyn Reporter) -> Result<State, InstanceError> {
        match inspect(&self.dir, Viewer::Holder)? {
            State::Broken(faults) if faults.iter().all(Fault::heals) => {
                self.recover(&faults, reporter).await?;
                Ok(inspect(&self.dir, Viewer::Holder)?)
            }
            state => Ok(state),
        }
    }

    /// Resumes if possible, and boots when resuming from saved memory fails.
    async fn warm_or_cold(
        &self,
        attempt: &Attempt<'_>,
        record: Record,
        beginning: Beginning,
        reporter: &dyn Reporter,
    ) -> Result<Live, InstanceError> {
        let Beginning { origin, kept, because } = beginning;
        if matches!(origin, Origin::Cold) {
            return self.boot(attempt, record, because, reporter).await;
        }
        let mut outcome = attempt.run(record.clone(), &origin, kept, None).await;
        if let (Err(Failure::Machine(error)), Origin::Snapshot(_)) = (&outcome, &origin)
            && error.is_crash()
        {
            // The snapshot need not be the cause, and a new session has nothing to lose.
            let text = format!("{}; resuming from the snapshot once more", one_line(error));
            reporter.report(&Event::Notice(&text));
            self.clean_up().await?;
            let kept = Store::new(&self.home).keep(reporter).await?;
            outcome = attempt.run(record.clone(), &origin, Some(kept), None).await;
        }
        let error = match outcome {
            Ok(live) => return Ok(live),
            Err(Failure::Host(error)) => return Err(error),
            Err(Failure::Machine(error)) => error,
        };
        let killed = error.is_kill();
        let evidence = self.keep_evidence(&self.dir.failed_resume());
        let reason = one_line(&error.with_logs_in(&self.dir.failed_resume()));
        let text = format!("resuming from saved memory failed ({reason}): booting instead; {evidence}");
        reporter.report(&Event::Warning(&text));
        self.clean_up().await?;
        if let Origin::Snapshot(snapshot) = &origin
            && !killed
        {
            Store::new(&self.home).retire(snapshot, &format!("it could not be resumed: {reason}"))?;
        }
        self.boot(attempt, record, Some(reason), reporter).await
    }

    /// Boots the machine; a second time when its kernel reports a stall, or QEMU crashes.
    async fn boot(
        &self,
        attempt: &Attempt<'_>,
        record: Record,
        because: Option<String>,
        reporter: &dyn Reporter,
    ) -> Result<Live, InstanceError> {
        let boot = async |record, because| attempt.run(record, &Origin::Cold, None, because).await;
        let outcome = boot(record.clone(), because.clone()).await.map_err(Failure::error);
        let trouble = match &outcome {
            Err(InstanceError::Guest(GuestTrouble::Hangs { line, .. })) => {
                format!("the guest hangs (`{line}`)")
            }
            Err(error) if error.is_crash() => one_line(error),
            _ => return outcome,
        };
        // The user is not the cause: the same boot works the next time. The console of this one is kept.
        reporter.report(&Event::Notice(&format!("{trouble}; booting it once more")));
        self.clean_up().await?;
        boot(record, because).await.map_err(Failure::error)
    }

    /// The record of an instance whose faults this start can handle: another image than the missing one may have the
    /// same content, and a changed image is reported better once it has been read.
    fn despite(&self, faults: Vec<Fault>, options: &StartOptions<'_>) -> Result<Record, InstanceError> {
        // It must be neither written to nor deleted.
        if let [Fault::UnknownOverlay(overlay)] = &faults[..] {
            let record = self.dir.record();
            return Err(InstanceError::UnknownOverlay { overlay: overlay.clone(), record });
        }
        let answered = |fault: &Fault| match fault {
            Fault::ImageChanged(_) => true,
            Fault::NoImage(_) => options.machine.image.is_some(),
            _ => false,
        };
        let record = if faults.iter().all(answered) { record::read(&self.dir.record())? } else { None };
        record.ok_or(InstanceError::Broken { name: self.name.clone(), faults })
    }

    /// Puts the logs of a run that failed into `kept`, where those of the next do not replace them, and returns a text about that. A loss of them
    /// must not hide why it failed.
    pub(super) fn keep_evidence(&self, kept: &Path) -> String {
        let moved = super::remove_dir(kept).and_then(|()| match move_dir(&self.dir.logs(), kept) {
            Err(error) if error.source.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        });
        match moved {
            Ok(()) => format!("the logs are in `{}`", kept.display()),
            Err(error) => format!("the logs are not kept: {}", one_line(&error)),
        }
    }
}
