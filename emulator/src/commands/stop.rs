//! `emulator stop`.

use base::console::seconds;
use instances::instance::stop::{Ending, How, Stopped};
use serde::Serialize;

use crate::cli::Stop;
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    #[serde(flatten)]
    stopped: &'a Stopped,
}

impl Stop {
    /// Stops the instance and says how it ended.
    pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
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
        // It is stopped, and whoever watches exit codes alone should hear how.
        Ok(if stopped.ending == Ending::Crashed { Exit::Failed } else { Exit::Ok })
    }
}
