//! `emulator capture`.

use std::path::Path;

use base::events::{Timing, Timings};
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use image::arch::Arch;
use instances::instance::capture::CaptureOptions;
use instances::snapshot::capture;
use serde::Serialize;
use time::OffsetDateTime;
use vm::saving::Strategy;

use super::Run;
use super::machine::Machine;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

/// Make the snapshot that new sessions start from
#[derive(Debug, Args)]
#[command(after_help = "\
`start` does this by itself when there is no snapshot that fits. A snapshot fits
one image, one QEMU and one machine; it never leaves this computer. Instances
are not touched.

Examples:
  emulator capture
  emulator capture --force              instead of using the existing one
  emulator capture --strategy mapped-ram --memory 4096")]
pub(crate) struct Capture {
    /// How memory is kept; by default the first that is possible here
    #[arg(long, value_name = "template|mapped-ram")]
    strategy: Option<Strategy>,

    /// Make one even if an existing one fits
    #[arg(long, env = "EMULATOR_FORCE_CAPTURE", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    force: bool,

    #[command(flatten)]
    machine: Machine,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    snapshot: String,
    dir: &'a Path,
    arch: Arch,
    strategy: Strategy,
    #[serde(with = "time::serde::rfc3339")]
    created_at: OffsetDateTime,
    /// Bytes on the disk.
    bytes: u64,
    /// What was done for it; nothing where it was there already.
    phases: Vec<Timing>,
}

impl Run for Capture {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let options = CaptureOptions {
            machine: self.machine.options(context.arch),
            strategy: self.strategy,
            force: self.force,
        };
        let timings = Timings::new(context.console);
        let snapshot = context.instance().capture(&options, &timings).await?;
        let manifest = &snapshot.manifest;
        let report = Report {
            snapshot: snapshot.name(),
            dir: snapshot.dir().root(),
            arch: manifest.state.fingerprint.topology.arch,
            strategy: manifest.state.strategy,
            created_at: manifest.created_at,
            bytes: manifest.state.files.values().map(|file| file.allocated).sum(),
            phases: timings.taken(),
        };
        let people = |report: &Report<'_>| {
            let (mib, dir) = (report.bytes >> 20, report.dir.display());
            format!("snapshot `{}` ({}, {mib} MiB) is in `{dir}`", report.snapshot, report.strategy)
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        recover(context).await
    }
}

/// Ends the machine of a capture that was cut short, and removes what it has left.
pub(super) async fn recover(context: &Context<'_>) -> Result<(), CommandError> {
    Ok(capture::recover_interrupted(&context.home).await.map_err(instances::failure::Error::from)?)
}
