//! `emulator prune`.

use std::path::Path;

use clap::Args;
use instances::instance::error::InstanceError;
use instances::prune::{Kind, prune};
use instances::registry::Registry;
use serde::Serialize;

use super::Run;
use super::images::warn_of_unknown;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;

/// Remove unused images, snapshots and downloads
#[derive(Debug, Args)]
#[command(after_help = "\
Removes replaced images that no instance has data on, snapshots that no session would start from,
unfinished downloads, and what killed commands have left behind. The data of instances is never
touched: `emulator reset` deletes it.

Examples:
  emulator prune --dry-run              show what would go
  emulator prune")]
pub(crate) struct Prune {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Whether nothing was removed.
    dry_run: bool,
    /// Bytes on the disk, in all.
    bytes: u64,
    removed: Vec<View<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    kind: Kind,
    path: &'a Path,
    bytes: u64,
}

impl Run for Prune {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        warn_of_unknown(context, &Registry::new(&context.home))?;
        let found = prune(&context.home, self.dry_run, context.console).await;
        let found = found.map_err(InstanceError::from)?;
        let removed: Vec<_> =
            found.iter().map(|it| View { kind: it.kind, path: &it.path, bytes: it.bytes }).collect();
        let bytes = removed.iter().map(|it| it.bytes).sum();
        let report = Report { dry_run: self.dry_run, bytes, removed };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn people(report: &Report<'_>) -> String {
    if report.removed.is_empty() {
        return "there is nothing to remove".to_owned();
    }
    let rows = report.removed.iter().map(|it| {
        let kind = match it.kind {
            Kind::Image => "image",
            Kind::Snapshot => "snapshot",
            Kind::Download => "download",
            Kind::Leftover => "leftover",
        };
        [kind.to_owned(), format!("{} MiB", it.bytes >> 20), it.path.display().to_string()]
    });
    let done = if report.dry_run { "would be free" } else { "are free" };
    format!("{}\n{} MiB {done}", table(["KIND", "SIZE", "PATH"], rows), report.bytes >> 20)
}
