//! `emulator prune`.

use std::path::Path;

use base::events::{Event, Reporter as _};
use clap::Args;
use instances::instance::error::InstanceError;
use instances::instance::fresh;
use instances::prune::{Kind, Orphan, orphans, prune};
use instances::registry::Registry;
use serde::Serialize;

use super::Run;
use super::confirm::Confirm;
use super::images::warn_of_unknown;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;
use crate::question::Question;

/// Remove unused images, snapshots and downloads
#[derive(Debug, Args)]
#[command(after_help = "\
Removes replaced images that no instance has data on, snapshots that no session
would start from, unfinished downloads, and what killed commands have left
behind. The data of instances is not touched: `emulator reset` deletes it.
Instances of git worktrees that are gone are only reported; with `--instances`
they are deleted, after a question.

Examples:
  emulator prune --dry-run              show what would go
  emulator prune
  emulator prune --instances            instances of removed worktrees too")]
pub(crate) struct Prune {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,

    /// Delete the instances of removed worktrees too, with their data
    #[arg(long)]
    instances: bool,

    #[command(flatten)]
    confirm: Confirm,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    /// Whether nothing was removed.
    dry_run: bool,
    /// Bytes on the disk, in all.
    bytes: u64,
    removed: Vec<View<'a>>,
    /// The instances whose directories are gone, whether or not they are deleted.
    orphans: Vec<OrphanView<'a>>,
}

/// An instance whose directory is gone.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OrphanView<'a> {
    instance: &'a str,
    directory: &'a Path,
    bytes: u64,
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

    fn home_use(&self) -> HomeUse {
        if self.dry_run { HomeUse::Looks } else { Self::HOME_USE }
    }

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        warn_of_unknown(context, &Registry::new(&context.home))?;
        let orphans = orphans(&context.home).map_err(InstanceError::from)?;
        let doomed = self.delete_orphans(context, &orphans).await?;
        let found = prune(&context.home, self.dry_run, context.console).await;
        let found = found.map_err(InstanceError::from)?;
        let left =
            if self.dry_run { fresh::left(&context.home).map_err(InstanceError::from)? } else { Vec::new() };
        let left = context.swept.iter().chain(&left);
        let left = left.map(|it| View { kind: Kind::Leftover, path: &it.path, bytes: it.bytes });
        let doomed = doomed.iter().map(|it| View { kind: Kind::Instance, path: &it.path, bytes: it.bytes });
        let unneeded = found.iter().map(|it| View { kind: it.kind, path: &it.path, bytes: it.bytes });
        let removed: Vec<_> = doomed.chain(left).chain(unneeded).collect();
        let bytes = removed.iter().map(|it| it.bytes).sum();
        let orphans = orphans.iter().map(|it| OrphanView {
            instance: it.name.as_str(),
            directory: &it.directory,
            bytes: it.bytes,
        });
        let report = Report { dry_run: self.dry_run, bytes, removed, orphans: orphans.collect() };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

impl Prune {
    /// Deletes the instances whose directories are gone, where that was asked for and confirmed, and gives those that are or would be
    /// deleted. The others are reported.
    async fn delete_orphans<'a>(
        &self,
        context: &Context<'_>,
        orphans: &'a [Orphan],
    ) -> Result<&'a [Orphan], CommandError> {
        if !self.instances {
            for Orphan { name, directory, .. } in orphans {
                let directory = directory.display();
                let text = format!(
                    "the directory `{directory}` of instance `{name}` is gone: `emulator prune --instances` deletes it \
                     with its data"
                );
                context.console.report(&Event::Notice(&text));
            }
            return Ok(&[]);
        }
        if orphans.is_empty() || self.dry_run {
            return Ok(orphans);
        }
        let names: Vec<_> = orphans.iter().map(|orphan| orphan.name.clone()).collect();
        if !self.confirm.confirmed(Question::Prune(&names))? {
            return Ok(&[]);
        }
        for name in names {
            context.about(name).instance().delete(context.console).await?;
        }
        Ok(orphans)
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
            Kind::Instance => "instance",
        };
        [kind.to_owned(), format!("{} MiB", it.bytes >> 20), it.path.display().to_string()]
    });
    let done = if report.dry_run { "would be free" } else { "freed" };
    format!("{}\n{} MiB {done}", table(["KIND", "SIZE", "PATH"], rows), report.bytes >> 20)
}
