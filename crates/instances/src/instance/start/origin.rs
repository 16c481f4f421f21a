//! The origin of a machine: a suspension, a snapshot, or a boot.

use std::path::PathBuf;

use base::events::{Event, Reporter};
use base::files::{FileError, FileLock};
use vm::error::one_line;
use vm::saving::Strategy;

use super::super::Instance;
use super::super::dir::InstanceDir;
use super::super::error::InstanceError;
use super::super::live::StartedBy;
use super::super::record::{Record, RecordError, Session};
use super::super::registry::Registry;
use super::super::suspension::{Goes, Suspension};
use super::StartOptions;
use super::plan::{MachinePlan, Plan};
use crate::home::HomeExt;
use crate::images::users::Users;
use crate::saved::load::Loadable;
use crate::snapshot::Snapshot;
use crate::snapshot::capture::Capture;
use crate::snapshot::error::SnapshotError;
use crate::snapshot::store::{Found, Store};

/// The origin of a machine.
pub(in crate::instance) enum Origin {
    /// A boot, on the existing disk.
    Cold,
    /// A snapshot, on a new overlay of its disk.
    Snapshot(Box<Snapshot>),
    /// A suspension, on its own overlay.
    Suspended(Box<Suspension>),
}

/// The possible origin of a machine.
pub(super) struct Beginning {
    /// The best origin there is.
    pub(super) origin: Origin,
    /// Keeps a snapshot from being removed until the record shows that it is needed.
    pub(super) kept: Option<FileLock>,
    /// Why it is a boot instead of a resume.
    pub(super) because: Option<String>,
}

impl Beginning {
    fn cold(because: Option<String>) -> Self {
        Self { origin: Origin::Cold, kept: None, because }
    }
}

impl Origin {
    /// How the start is reported.
    pub(super) fn started_by(&self) -> StartedBy {
        match self {
            Self::Cold => StartedBy::Cold,
            Self::Snapshot(_) => StartedBy::Snapshot,
            Self::Suspended(_) => StartedBy::Suspended,
        }
    }

    /// The saved state from which it is resumed. May unpack it.
    ///
    /// # Errors
    /// When it cannot be unpacked.
    pub(super) fn loadable(&self, dir: &InstanceDir) -> Result<Option<Loadable>, FileError> {
        match self {
            Self::Cold => Ok(None),
            Self::Snapshot(snapshot) => snapshot.loadable().map(Some),
            Self::Suspended(suspension) => suspension.loadable(dir).map(Some),
        }
    }

    /// The volume with settings that the guest has mounted, or is going to mount.
    pub(super) fn config(&self, dir: &InstanceDir) -> PathBuf {
        match self {
            Self::Cold => dir.config(),
            Self::Snapshot(snapshot) => snapshot.dir().config(),
            Self::Suspended(suspension) => dir.home().resolve(&suspension.config),
        }
    }
}

impl Instance {
    /// Finds the origin of the machine; and if that is a boot instead of saved memory, why. Creates a snapshot when a new session
    /// could start from one and none fits.
    ///
    /// # Errors
    /// When the files of a suspended machine cannot be read.
    pub(super) async fn beginning(
        &self,
        record: &Record,
        plan: &Plan,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Beginning, InstanceError> {
        Ok(match &record.session {
            _ if !options.warm => Beginning::cold(None),
            Some(session) => self.where_suspended(session, plan, reporter)?,
            None => self.snapshot(plan, options, reporter).await,
        })
    }

    fn where_suspended(
        &self,
        session: &Session,
        plan: &Plan,
        reporter: &dyn Reporter,
    ) -> Result<Beginning, RecordError> {
        let dropped = |reason: String| {
            let text =
                format!("the suspended memory of `{}` is dropped, its disk stays: {reason}", self.name);
            reporter.report(&Event::Notice(&text));
            Beginning::cold(Some(format!("the suspended memory was dropped: {reason}")))
        };
        Ok(match Suspension::of(&self.dir, session)? {
            Goes::Nowhere => Beginning::cold(None),
            Goes::Not(reason) => dropped(reason),
            Goes::On(suspension) => {
                let differences = suspension.state.fingerprint.differences(&plan.machine.fingerprint);
                if differences.is_empty() {
                    Beginning { origin: Origin::Suspended(suspension), kept: None, because: None }
                } else {
                    dropped(format!("the machine is another: {}", differences.join(", ")))
                }
            }
        })
    }

    /// Finds a snapshot that fits, or creates it; a boot if there cannot be one, which is reported.
    async fn snapshot(&self, plan: &Plan, options: &StartOptions<'_>, reporter: &dyn Reporter) -> Beginning {
        match self.find_or_capture(plan, options, reporter).await {
            Ok((snapshot, kept)) => {
                Beginning { origin: Origin::Snapshot(snapshot), kept: Some(kept), because: None }
            }
            Err(error) => {
                let reason = one_line(&error);
                let text = format!("there is no snapshot ({reason}): booting instead");
                reporter.report(&Event::Warning(&text));
                Beginning::cold(Some(format!("there is no snapshot: {reason}")))
            }
        }
    }

    async fn find_or_capture(
        &self,
        plan: &Plan,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<(Box<Snapshot>, FileLock), InstanceError> {
        let strategy = plan.machine.strategy(options.strategy)?;
        let store = Store::new(&self.home);
        let find = || store.find(&plan.machine.fingerprint, strategy);
        let kept = store.keep(reporter).await?;
        match find()? {
            Found::Fits(snapshot) => return Ok((snapshot, kept)),
            Found::Nothing { because } => {
                for reason in &because {
                    reporter.report(&Event::Notice(reason));
                }
            }
        }
        // The creation of one needs this lock exclusively in the end.
        drop(kept);
        let registry = Registry::new(&self.home);
        let made = plan.machine.capture(&self.home, &registry, strategy, false).run(reporter).await?;
        let kept = store.keep(reporter).await?;
        match find()? {
            Found::Fits(snapshot) => Ok((snapshot, kept)),
            Found::Nothing { .. } => Err(SnapshotError::Gone(made.name()).into()),
        }
    }
}

impl MachinePlan {
    /// The given strategy, or the best one, if it is possible here.
    ///
    /// # Errors
    /// When it is not.
    pub(in crate::instance) fn strategy(&self, asked: Option<Strategy>) -> Result<Strategy, InstanceError> {
        let possible = |strategy: &Strategy| strategy.is_possible(self.qemu.capabilities());
        let found = match asked {
            Some(strategy) => Some(strategy).filter(possible),
            None => Strategy::ALL.into_iter().find(possible),
        };
        let impossible = || SnapshotError::Impossible { version: self.qemu.version(), how: asked };
        Ok(found.ok_or_else(impossible)?)
    }

    /// What a snapshot of the planned machine needs.
    pub(in crate::instance) fn capture<'a>(
        &'a self,
        home: &'a vm::home::Home,
        users: &'a dyn Users,
        strategy: Strategy,
        force: bool,
    ) -> Capture<'a> {
        Capture {
            home,
            users,
            qemu: &self.qemu,
            boot: &self.image.boot,
            topology: &self.topology,
            strategy,
            limit: self.limit,
            force,
        }
    }
}
