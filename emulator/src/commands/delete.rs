//! `emulator delete`.

use base::events::Reporter;
use clap::Args;
use instances::name::InstanceName;
use serde::Serialize;

use super::Run;
use super::confirm::Confirm;
use super::several;
use crate::context::{Context, HomeUse};
use crate::errors::{CommandError, ErrorView};
use crate::exit::Exit;
use crate::question::Question;

/// End an instance and remove everything that belongs to it
#[derive(Debug, Args)]
#[command(after_help = "\
Its data, secrets, saved memory, ports and logs are lost. A running instance is
stopped. What it shares with others stays: the image and the snapshot, which
`emulator prune` removes when nothing needs them. If it is interrupted, run it
again. `emulator reset` keeps the instance and its ports.

Examples:
  emulator delete feature-17
  emulator delete feature-17 --yes      without the question, as scripts need it
  emulator delete --all                 every instance of this home")]
pub(crate) struct Delete {
    /// Instance to delete, which has to be named; `emulator list` shows them
    #[arg(value_name = "NAME", conflicts_with_all = ["instance", "all"])]
    pub(crate) name: Option<InstanceName>,

    /// Delete every instance
    #[arg(long, conflicts_with = "instance")]
    pub(crate) all: bool,

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
    /// Null when it could not be deleted, as the next.
    state: Option<&'static str>,
    bytes: Option<u64>,
    error: Option<ErrorView>,
}

impl Run for Delete {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        if self.all {
            return self.delete_all(context).await;
        }
        let instance = context.instance();
        if !instance.exists()? {
            return Err(instance.unknown().into());
        }
        if !self.confirm.confirmed(Question::Delete(&context.name))? {
            context.console.line("nothing was changed");
            return Ok(Exit::Ok);
        }
        let bytes = instance.delete(context.console).await?;
        let report = Report { instance: context.name.as_str(), state: "absent", bytes };
        let people =
            |report: &Report<'_>| format!("`{}` is deleted: {} MiB freed", report.instance, bytes >> 20);
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

impl Delete {
    async fn delete_all(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let all = several::all(context)?;
        let names: Vec<_> = all.iter().map(|context| context.name.clone()).collect();
        if !all.is_empty() && !self.confirm.confirmed(Question::DeleteAll(&names))? {
            context.console.line("nothing was changed");
            return Ok(Exit::Ok);
        }
        let delete = async |context: &Context<'_>, reporter: &dyn Reporter| {
            Ok(context.instance().delete(reporter).await?)
        };
        let outcomes = several::each("Delete all instances", &all, delete).await;
        let exit = if outcomes.iter().all(Result::is_ok) { Exit::Ok } else { Exit::Failed };
        let one = |(name, outcome)| {
            let (bytes, error) = match outcome {
                Ok(bytes) => (Some(bytes), None),
                Err(error) => (None, Some(error)),
            };
            One { instance: InstanceName::as_str(name), state: bytes.map(|_| "absent"), bytes, error }
        };
        let report = All { instances: names.iter().zip(outcomes).map(one).collect() };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(exit)
    }
}

fn people(report: &All<'_>) -> String {
    if report.instances.is_empty() {
        return "there is no instance".to_owned();
    }
    let deleted = report.instances.iter().filter_map(|it| Some((it.instance, it.bytes?)));
    let lines = deleted.map(|(name, bytes)| format!("`{name}` is deleted: {} MiB freed", bytes >> 20));
    lines.collect::<Vec<_>>().join("\n")
}
