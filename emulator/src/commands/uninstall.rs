//! `emulator uninstall`.

use base::events::{Event, Reporter};
use clap::Args;
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;
use crate::question;
use crate::uninstallation::{Doomed, Kind, UninstallError, Uninstallation};

/// Remove this program and everything that it keeps
#[derive(Debug, Args)]
#[command(after_help = "\
Everything in the home goes: all instances with their data, images, snapshots,
downloads and QEMU. So do the sockets and, if `install.sh` has installed it, the
program with its manual; how to remove another one is shown. What is in the home
and not of this program stays. While an instance runs the command is refused;
with `--yes` it ends the machines.

Examples:
  emulator uninstall --dry-run          show what would go
  emulator uninstall --yes              without the question, as scripts need it")]
pub(crate) struct Uninstall {
    /// Show what would be removed, and remove nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,

    /// Do not ask, and end what runs
    #[arg(short, long)]
    yes: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Whether nothing was removed.
    dry_run: bool,
    /// Bytes on the disk, in all.
    bytes: u64,
    /// The instances whose machines run; they are ended.
    running: Vec<&'a str>,
    removed: &'a [Doomed],
}

impl Run for Uninstall {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let found = Uninstallation::find(&context.home)?;
        if !self.dry_run {
            if !found.running.is_empty() && !self.yes {
                return Err(UninstallError::Running(found.running).into());
            }
            if !self.yes && !confirmed(&found)? {
                context.console.line("nothing was changed");
                return Ok(Exit::Ok);
            }
            found.carry_out(&context.home, context.console).await?;
        }
        if let Some(by_hand) = &found.by_hand {
            context.console.report(&Event::Notice(by_hand));
        }
        let report = Report {
            dry_run: self.dry_run,
            bytes: found.removed.iter().map(|it| it.bytes).sum(),
            running: found.running.iter().map(instances::name::InstanceName::as_str).collect(),
            removed: &found.removed,
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

/// Asks whether all that may go.
fn confirmed(found: &Uninstallation) -> Result<bool, CommandError> {
    if !question::can_be_asked() {
        return Err(UninstallError::NotConfirmed.into());
    }
    let mib = found.removed.iter().map(|it| it.bytes).sum::<u64>() >> 20;
    question::confirmed(&format!("Remove this program with all instances and their data ({mib} MiB)?"))
}

fn people(report: &Report<'_>) -> String {
    if report.removed.is_empty() {
        return "there is nothing to remove".to_owned();
    }
    let rows = report.removed.iter().map(|it| {
        let kind = match it.kind {
            Kind::Home => "home",
            Kind::Sockets => "sockets",
            Kind::Program => "program",
            Kind::Document => "document",
        };
        [kind.to_owned(), format!("{} MiB", it.bytes >> 20), it.path.display().to_string()]
    });
    let done = if report.dry_run { "would be free" } else { "freed" };
    let running = match report.running.as_slice() {
        [] => String::new(),
        names if report.dry_run => format!("\nrunning, and ended by `--yes`: {}", names.join(", ")),
        names => format!("\nended: {}", names.join(", ")),
    };
    format!("{}\n{} MiB {done}{running}", table(["KIND", "SIZE", "PATH"], rows), report.bytes >> 20)
}
