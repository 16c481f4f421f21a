//! `emulator stop`.

use base::console::seconds;
use base::events::{Event, Reporter};
use clap::Args;
use instances::instance::stop::{Ending, How, Stopped};
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

/// Suspend the machine; the next start resumes it
#[derive(Debug, Args)]
#[command(after_help = "\
The machine is suspended: its memory is saved beside its disk, and the next `start` resumes it.
Where that is not possible, and with `--shutdown`, the guest is asked to power off. If it does not,
QEMU is asked to end, and finally killed; each step is reported. The data is kept in any case.
Stopping an instance that does not run is not an error.

Examples:
  emulator stop
  emulator stop --shutdown              let the guest shut down; the next start boots it
  emulator stop --instance feature-17")]
pub(crate) struct Stop {
    /// Power off by the guest's own shutdown; the next start boots from the disk
    #[arg(long)]
    shutdown: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    #[serde(flatten)]
    stopped: &'a Stopped,
}

impl Run for Stop {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let how = if self.shutdown { How::PowerOff } else { How::Suspend };
        let stopped = context.instance().stop(how, context.console).await?;
        let instance = context.name.as_str();
        let state = if stopped.ending == Ending::Suspended { "suspended" } else { "stopped" };
        let report = Report { instance, state, stopped: &stopped };
        let people = |_: &Report<'_>| match stopped.ending {
            Ending::WasStopped => format!("`{instance}` was not running"),
            Ending::WasGone => {
                format!("`{instance}` was not running any more: what it left behind is cleaned up")
            }
            Ending::Crashed => {
                format!(
                    "`{instance}` is stopped: its QEMU crashed or was killed, and the next start boots from its disk"
                )
            }
            _ => format!("`{instance}` is {state} ({})", seconds(stopped.duration())),
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        // It is stopped, and callers that look at exit codes only should notice how.
        Ok(if stopped.ending == Ending::Crashed { Exit::Failed } else { Exit::Ok })
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        // A machine whose stop was dropped continues to run.
        context.instance().recover_interrupted(context.console).await?;
        if self.shutdown {
            let asked = "the guest may have been asked to power off, and does so then: `emulator stop --shutdown` waits for it";
            context.console.report(&Event::Notice(asked));
        }
        Ok(())
    }
}
