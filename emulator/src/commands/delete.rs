//! `emulator delete`.

use clap::Args;
use instances::name::InstanceName;
use serde::Serialize;

use super::Run;
use super::confirm::Confirm;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::question::Question;

/// End an instance and remove everything that belongs to it
#[derive(Debug, Args)]
#[command(after_help = "\
Its data, secrets, saved memory, ports and logs are lost. A running instance is stopped. What it
shares with others stays: the image and the snapshot, which `emulator prune` removes when nothing
needs them. If it is interrupted, run it again. `emulator reset` keeps the instance and its ports.

Examples:
  emulator delete feature-17
  emulator delete feature-17 --yes      without the question, as scripts need it")]
pub(crate) struct Delete {
    /// Instance to delete; `emulator list` shows them
    #[arg(value_name = "NAME", required_unless_present = "instance", conflicts_with = "instance")]
    pub(crate) name: Option<InstanceName>,

    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    /// Bytes that it had on the disk.
    bytes: u64,
}

impl Run for Delete {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let instance = context.instance();
        if !instance.exists()? {
            return Err(instance.unknown().into());
        }
        if !self.confirm.confirmed(Question::Delete, &context.name)? {
            context.console.line("nothing was changed");
            return Ok(Exit::Ok);
        }
        let bytes = instance.delete(context.console).await?;
        let report = Report { instance: context.name.as_str(), state: "absent", bytes };
        let people =
            |report: &Report<'_>| format!("`{}` is deleted: {} MiB are free", report.instance, bytes >> 20);
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
