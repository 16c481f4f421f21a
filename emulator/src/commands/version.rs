//! `emulator version`.

use clap::Args;
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::properties;

/// Show the version of this program and of the formats that it reads
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator version
  emulator version -o json")]
pub(crate) struct Version {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    version: &'static str,
    operating_system: &'static str,
    architecture: &'static str,
    image_format: u32,
    record_schema: u32,
}

impl Run for Version {
    const HOME_USE: HomeUse = HomeUse::Nothing;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let report = Report {
            version: env!("CARGO_PKG_VERSION"),
            operating_system: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
            image_format: image::manifest::FORMAT_VERSION,
            record_schema: instances::instance::record::SCHEMA_VERSION,
        };
        let people = |report: &Report| {
            properties([
                ("emulator", report.version.to_owned()),
                ("host", format!("{} {}", report.operating_system, report.architecture)),
                ("image format", format!("up to {}", report.image_format)),
                ("record schema", format!("up to {}", report.record_schema)),
            ])
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
