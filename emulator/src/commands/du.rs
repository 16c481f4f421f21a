//! `emulator du`.

use std::path::Path;

use clap::Args;
use instances::instance::error::InstanceError;
use instances::usage::{self, Kind};
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;

/// Show what takes space on the disk
#[derive(Debug, Args)]
#[command(after_help = "\
What files really take is counted: holes take nothing, and a file with several
names counts once. `emulator prune` removes what is unused, `emulator delete` an
instance with its data.

Examples:
  emulator du
  emulator du -o json                   in bytes")]
pub(crate) struct Du {}

#[derive(Serialize)]
struct Report<'a> {
    /// The home, which everything is in.
    home: &'a Path,
    /// Bytes on the disk, in all.
    bytes: u64,
    /// What it consists of: by kind, the largest first.
    entries: Vec<View<'a>>,
}

#[derive(Serialize)]
struct View<'a> {
    kind: Kind,
    /// Relative to the home.
    name: &'a Path,
    /// Bytes on the disk.
    bytes: u64,
}

impl Run for Du {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let home = context.home.root();
        let entries = usage::of(&context.home).map_err(InstanceError::from)?;
        let views = entries.iter().map(|it| View {
            kind: it.kind,
            name: it.path.strip_prefix(home).unwrap_or(&it.path),
            bytes: it.bytes,
        });
        let report =
            Report { home, bytes: entries.iter().map(|it| it.bytes).sum(), entries: views.collect() };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn people(report: &Report<'_>) -> String {
    let home = report.home.display();
    if report.entries.is_empty() {
        return format!("there is nothing in `{home}`");
    }
    let rows = report.entries.iter().map(|it| {
        let kind = match it.kind {
            Kind::Image => "image",
            Kind::Snapshot => "snapshot",
            Kind::Instance => "instance",
            Kind::Download => "download",
            Kind::Qemu => "qemu",
            Kind::Other => "other",
        };
        [kind.to_owned(), mib(it.bytes), it.name.display().to_string()]
    });
    format!("{}\n{} in `{home}`", table(["KIND", "SIZE", "PATH"], rows), mib(report.bytes))
}

/// Bytes for people; what is less than a MiB is not nothing.
fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        0 => "< 1 MiB".to_owned(),
        mib => format!("{mib} MiB"),
    }
}
