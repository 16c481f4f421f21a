//! Logs of an instance: files of the host, and the journals of the guest's services.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use base::files::{FileError, present};
use base::wait::Backoff;
use image::stack::Service;
use time::OffsetDateTime;
use vm::qga::Qga;
use vm::tail::Tail;

use super::error::InstanceError;
use super::journal::{Beginning, Journal};
pub use super::line::Line;
use super::live::Live;
use super::state::{State, Viewer, inspect};
use super::{Instance, meanwhile};

/// Name of the guest's serial console among the sources.
pub const SERIAL: &str = "serial";

/// Name of QEMU's own output among the sources.
pub const QEMU: &str = "qemu";

/// Pause between two reads of the guest's journal: each runs a program in the guest.
const JOURNAL_PACE: Duration = Duration::from_millis(500);

/// How long the guest agent may fail while its journal is followed.
const SILENCE_LIMIT: Duration = Duration::from_mins(1);

/// What to show.
#[derive(Debug, Clone, Copy)]
pub struct LogQuery<'a> {
    /// A source's name. Without one: all services while the instance runs, the console otherwise.
    pub source: Option<&'a str>,
    /// How many of the last lines; all that `since` leaves, or the whole file, where there is no number.
    pub lines: Option<usize>,
    /// Only what was written at this time or later. The lines of files have no time.
    pub since: Option<OffsetDateTime>,
    /// Whether to continue with new lines until the instance stops.
    pub follow: bool,
}

/// Where the lines come from.
enum Source<'a> {
    File { name: &'static str, path: PathBuf },
    Journal { live: &'a Live, services: Vec<Service> },
}

impl Instance {
    /// Passes the lines that `query` selects to `take`, which ends it by [`ControlFlow::Break`].
    ///
    /// # Errors
    /// When there is no such source, a service is selected while the instance does not run or until it stops, or the log cannot be
    /// read.
    pub async fn logs(
        &self,
        query: LogQuery<'_>,
        mut take: impl FnMut(Line) -> ControlFlow<()>,
    ) -> Result<(), InstanceError> {
        let (live, grows) = match inspect(&self.dir, Viewer::Bystander)? {
            State::Running(live) | State::Starting(live) => (Some(live), true),
            // Its files can be read all the same, if they are selected.
            State::Elsewhere(_) if matches!(query.source, Some(SERIAL | QEMU)) => (None, true),
            State::Elsewhere(elsewhere) => return Err(elsewhere.into()),
            _ => (None, false),
        };
        match self.source(query.source, live.as_ref())? {
            Source::File { name, .. } if query.since.is_some() => Err(InstanceError::NoTimes(name)),
            Source::File { name, path } => self.file(name, path, query, grows, &mut take).await,
            Source::Journal { live, services } => {
                let shown = async {
                    self.mend_sockets(live).await?;
                    self.journal(live, &services, query, &mut take).await
                };
                let Some(process) = live.machine.process else { return shown.await };
                match meanwhile::unless_gone(process, shown).await? {
                    Some(()) => Ok(()),
                    None if query.follow => Ok(()),
                    // It was stopped or reset, which the failure of its agent must not hide.
                    None => Err(InstanceError::NotRunning(self.name.clone())),
                }
            }
        }
    }

    fn source<'a>(&self, name: Option<&str>, live: Option<&'a Live>) -> Result<Source<'a>, InstanceError> {
        let console = Source::File { name: SERIAL, path: self.dir.serial_log() };
        match (name, live) {
            (Some(QEMU), _) => Ok(Source::File { name: QEMU, path: self.dir.qemu_log() }),
            // While it starts there is no agent yet, and the console shows what it waits for.
            (None, Some(live)) if live.run.ready.is_some() => {
                Ok(Source::Journal { live, services: live.stack.services.clone() })
            }
            (Some(SERIAL) | None, _) => Ok(console),
            (Some(name), Some(live)) => match live.stack.services.iter().find(|service| service.name == name)
            {
                Some(service) => Ok(Source::Journal { live, services: vec![service.clone()] }),
                None => Err(unknown(name, &live.stack.services)),
            },
            // Which services there are is known from what runs.
            (Some(_), None) => Err(InstanceError::NotRunning(self.name.clone())),
        }
    }

    async fn file(
        &self,
        name: &'static str,
        path: PathBuf,
        query: LogQuery<'_>,
        grows: bool,
        take: &mut impl FnMut(Line) -> ControlFlow<()>,
    ) -> Result<(), InstanceError> {
        if !grows && !present(&path)? {
            return Err(InstanceError::NoLogs(self.name.clone()));
        }
        let mut tail = Tail::new(&path);
        let mut lines = tail.lines().map_err(FileError::of("read", &path))?;
        let mut follow = query.follow && grows;
        if !follow {
            lines.extend(tail.rest());
        }
        let mut lines = lines.split_off(lines.len().saturating_sub(query.lines.unwrap_or(usize::MAX)));
        let mut backoff = Backoff::default();
        loop {
            for text in lines {
                if take(Line { source: name.to_owned(), time: None, text }).is_break() {
                    return Ok(());
                }
            }
            if !follow {
                return Ok(());
            }
            backoff.pause().await;
            // Determined before the last read, so that nothing that was written before the end is missed.
            follow = self.runs()?;
            lines = tail.lines().map_err(FileError::of("read", &path))?;
            if !follow {
                lines.extend(tail.rest());
            }
        }
    }

    async fn journal(
        &self,
        live: &Live,
        services: &[Service],
        query: LogQuery<'_>,
        take: &mut impl FnMut(Line) -> ControlFlow<()>,
    ) -> Result<(), InstanceError> {
        let beginning = Beginning { since: query.since, lines: query.lines };
        let mut journal = Journal::new(Qga::new(&live.machine.qga), services, beginning);
        let mut pace = tokio::time::interval(JOURNAL_PACE);
        let mut failing: Option<Instant> = None;
        loop {
            pace.tick().await;
            let lines = match journal.read().await {
                Ok(lines) => {
                    failing = None;
                    lines
                }
                Err(_) if query.follow && !self.runs()? => return Ok(()),
                // The agent ends before its machine does, and shares its channel with other commands.
                Err(_)
                    if query.follow && failing.get_or_insert_with(Instant::now).elapsed() < SILENCE_LIMIT =>
                {
                    Vec::new()
                }
                Err(error) => return Err(error),
            };
            let ended = !query.follow && journal.is_at_its_end();
            for line in lines {
                if take(line).is_break() {
                    return Ok(());
                }
            }
            if ended {
                return Ok(());
            }
        }
    }

    fn runs(&self) -> Result<bool, InstanceError> {
        let state = inspect(&self.dir, Viewer::Bystander)?;
        Ok(matches!(state, State::Running(_) | State::Starting(_) | State::Elsewhere(_)))
    }
}

fn unknown(name: &str, services: &[Service]) -> InstanceError {
    let known = services.iter().map(|service| service.name.as_str()).chain([SERIAL, QEMU]);
    InstanceError::UnknownSource {
        source_name: name.to_owned(),
        known: known.map(|name| format!("`{name}`")).collect(),
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;
    use vm::home::Home;
    use vm::process::{Launched, Signal};

    use super::super::live::tests::live;
    use super::super::record;
    use super::*;
    use crate::name::InstanceName;

    #[tokio::test]
    async fn an_instance_that_stops_while_its_logs_are_read_is_reported_as_stopped() {
        let home = tempfile::tempdir().unwrap();
        let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
        std::fs::create_dir_all(instance.dir.root()).unwrap();
        for follow in [false, true] {
            let log = home.path().join("log");
            let qemu = Launched::start(&Cmd::new("sleep").args(["600"]), &log).unwrap();
            let process = qemu.identity();
            record::write(&instance.dir.live(), &live(Some(process), true)).unwrap();
            let query = LogQuery { source: None, lines: Some(1), since: None, follow };
            // Its sockets are removed already, as those of an instance that is being reset.
            let logs = instance.logs(query, |_| ControlFlow::Continue(()));
            let (shown, ()) = tokio::join!(logs, async { process.signal(Signal::Kill).unwrap() });
            match shown {
                Ok(()) => assert!(follow),
                Err(error) => assert!(matches!(error, InstanceError::NotRunning(_)) && !follow, "{error}"),
            }
        }
    }
}
