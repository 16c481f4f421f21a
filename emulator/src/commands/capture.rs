//! `emulator capture`.

use std::path::Path;

use base::events::{Timing, Timings};
use image::arch::Arch;
use instances::instance::capture::CaptureOptions;
use serde::Serialize;
use time::OffsetDateTime;
use vm::saving::Strategy;

use crate::cli::Capture;
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;

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

impl Capture {
    /// Makes a snapshot, or finds the one that there is.
    pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
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
            arch: manifest.fingerprint.topology.arch,
            strategy: manifest.strategy,
            created_at: manifest.created_at,
            bytes: manifest.files.values().map(|file| file.allocated).sum(),
            phases: timings.taken(),
        };
        let people = |report: &Report<'_>| {
            let (mib, dir) = (report.bytes >> 20, report.dir.display());
            format!("snapshot `{}` ({}, {mib} MiB) is in `{dir}`", report.snapshot, report.strategy)
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
