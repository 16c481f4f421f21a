//! `emulator stop`.

use base::console::seconds;
use base::events::{Event, Reporter};
use clap::Args;
use instances::instance::stop::{Ending, How, Stopped};
use serde::Serialize;

use super::Run;
use super::several::{self, Outcome};
use crate::context::{Context, HomeUse};
use crate::errors::{CommandError, ErrorView};
use crate::exit::Exit;

/// Suspend the machine; the next start resumes it
#[derive(Debug, Args)]
#[command(after_help = "\
The machine is suspended: its memory is saved beside its disk, and the next
`start` resumes it. Where that is not possible, and with `--shutdown`, the guest
is asked to power off. If it does not, QEMU is asked to end, and finally killed;
each step is reported. The data is kept in any case. Stopping an instance that
does not run is not an error.

Examples:
  emulator stop
  emulator stop --shutdown              shut down; the next start boots
  emulator stop --instance feature-17
  emulator stop --all                   every instance of this home")]
pub(crate) struct Stop {
    /// Power off by the guest's own shutdown; the next start boots from the disk
    #[arg(long)]
    shutdown: bool,

    /// Stop every instance
    #[arg(long, conflicts_with = "instance")]
    all: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    #[serde(flatten)]
    stopped: &'a Stopped,
}

/// What came of all instances.
#[derive(Serialize)]
struct All<'a> {
    instances: Vec<One<'a>>,
}

/// What came of one of them.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct One<'a> {
    instance: &'a str,
    /// Null when it could not be stopped, as the next two.
    state: Option<&'static str>,
    ending: Option<Ending>,
    seconds: Option<f64>,
    error: Option<&'a ErrorView>,
}

impl Run for Stop {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        if self.all {
            return self.stop_all(context).await;
        }
        let stopped = context.instance().stop(self.how(), context.console).await?;
        let instance = context.name.as_str();
        let report = Report { instance, state: state(&stopped), stopped: &stopped };
        context.printer.print(&report, |_| people(instance, &stopped)).map_err(CommandError::Stdout)?;
        Ok(exit(&stopped))
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        // A machine whose stop was dropped continues to run.
        if self.all {
            for one in several::all(context)? {
                one.instance().recover_interrupted(one.console).await?;
            }
        } else {
            context.instance().recover_interrupted(context.console).await?;
        }
        if self.shutdown {
            let asked = "the guest may have been asked to power off, and does so then: `emulator stop --shutdown` waits for it";
            context.console.report(&Event::Notice(asked));
        }
        Ok(())
    }
}

impl Stop {
    fn how(&self) -> How {
        if self.shutdown { How::PowerOff } else { How::Suspend }
    }

    async fn stop_all(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let all = several::all(context)?;
        let stop = async |context: &Context<'_>, reporter: &dyn Reporter| {
            Ok(context.instance().stop(self.how(), reporter).await?)
        };
        let outcomes = several::each("Stop all instances", &all, stop).await;
        let instances = all.iter().zip(&outcomes).map(|(context, outcome)| one(context, outcome));
        let report = All { instances: instances.collect() };
        let lines = |_: &All<'_>| {
            let stopped =
                all.iter().zip(&outcomes).filter_map(|(context, it)| Some((context, it.as_ref().ok()?)));
            let changed = stopped.filter(|(_, stopped)| stopped.ending != Ending::WasStopped);
            let lines: Vec<_> = changed.map(|(context, it)| people(context.name.as_str(), it)).collect();
            if lines.is_empty() && outcomes.iter().all(Result::is_ok) {
                return "no instance was running".to_owned();
            }
            lines.join("\n")
        };
        context.printer.print(&report, lines).map_err(CommandError::Stdout)?;
        let failed =
            |outcome: &Outcome<Stopped>| outcome.as_ref().map_or(true, |it| exit(it) == Exit::Failed);
        Ok(if outcomes.iter().any(failed) { Exit::Failed } else { Exit::Ok })
    }
}

fn one<'a>(context: &'a Context<'_>, outcome: &'a Outcome<Stopped>) -> One<'a> {
    let stopped = outcome.as_ref().ok();
    One {
        instance: context.name.as_str(),
        state: stopped.map(state),
        ending: stopped.map(|stopped| stopped.ending),
        seconds: stopped.map(|stopped| stopped.seconds),
        error: outcome.as_ref().err(),
    }
}

fn state(stopped: &Stopped) -> &'static str {
    if stopped.ending == Ending::Suspended { "suspended" } else { "stopped" }
}

/// It is stopped, and callers that look at exit codes only should notice how.
fn exit(stopped: &Stopped) -> Exit {
    if stopped.ending == Ending::Crashed { Exit::Failed } else { Exit::Ok }
}

fn people(instance: &str, stopped: &Stopped) -> String {
    match stopped.ending {
        Ending::WasStopped => format!("`{instance}` was not running"),
        Ending::WasGone => {
            format!("`{instance}` was not running any more: what it left behind is cleaned up")
        }
        Ending::Crashed => {
            format!(
                "`{instance}` is stopped: its QEMU crashed or was killed, and the next start boots from its disk"
            )
        }
        _ => format!("`{instance}` is {} ({})", state(stopped), seconds(stopped.duration())),
    }
}
