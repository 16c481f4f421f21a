//! `emulator diagnose`.

use std::path::{Path, PathBuf};

use base::events::Phase;
use clap::Args;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::diagnosis;
use crate::errors::CommandError;
use crate::exit::Exit;

/// Pack what a report of a fault needs into an archive, without secrets
#[derive(Debug, Args)]
#[command(after_help = "\
The archive has what `version`, `doctor`, `list`, `images`, `du` and `status`
say, the logs, and what this machine is. Secrets of instances, tokens,
passwords, e-mail addresses, and the names of user, host and home are taken out.
Only you can read the file. Look at it before you send it: `tar -tf FILE`, `tar
-xf FILE`.

Examples:
  emulator diagnose
  emulator diagnose --file fault.tar.zst")]
pub(crate) struct Diagnose {
    /// File to create; by default `emulator-diagnose-TIME.tar.zst` in the working directory
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report<'a> {
    /// The archive.
    path: &'a Path,
    /// Its size in bytes.
    bytes: u64,
    /// The names of the files in it.
    files: Vec<&'a str>,
}

impl Run for Diagnose {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let path = self.file.clone().unwrap_or_else(|| default_file(OffsetDateTime::now_utc()).into());
        let phase = Phase::start(context.console, "collect", "Collect what is known about faults");
        let parts = diagnosis::collect(&context.home).await?;
        phase.done();
        let bytes = diagnosis::pack(&parts, &path).map_err(diagnosis::DiagnosisError::from)?;
        let files = parts.iter().map(|part| part.name.as_str()).collect();
        let report = Report { path: &path, bytes, files };
        let people = |report: &Report<'_>| {
            let (path, count) = (report.path.display(), report.files.len());
            format!(
                "`{path}` has {count} files ({} KiB): look at it before you send it",
                bytes.div_ceil(1024)
            )
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn default_file(now: OffsetDateTime) -> String {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    format!("emulator-diagnose-{}.tar.zst", now.format(&format).unwrap_or_default())
}
