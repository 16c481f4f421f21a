//! `emulator reset`.

use clap::Args;
use instances::instance::state::State;
use serde::Serialize;

use super::Run;
use super::confirm::Confirm;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::question::Question;

/// Delete the instance's data; the next start is a new session with new secrets
#[derive(Debug, Args)]
#[command(after_help = "\
Everything that was written since the first start is lost, and the session's
secrets with it; the instance keeps its ports. A running instance is stopped.

Examples:
  emulator reset
  emulator reset --yes                  without the question, as scripts need it")]
pub(crate) struct Reset {
    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    /// Whether there was data to throw away.
    discarded: bool,
}

impl Run for Reset {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let instance = context.instance();
        let absent = matches!(instance.state()?, State::Absent);
        if !absent && !self.confirm.confirmed(Question::Reset(&context.name))? {
            context.console.line("nothing was changed");
            return Ok(Exit::Ok);
        }
        let discarded = instance.reset(context.console).await?;
        let report = Report { instance: context.name.as_str(), state: "stopped", discarded };
        let people = |report: &Report<'_>| {
            if report.discarded {
                format!("`{}` has no data any more: the next start is a new session", report.instance)
            } else {
                format!("`{}` had no data", report.instance)
            }
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
