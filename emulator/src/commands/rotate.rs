//! `emulator rotate`.

use clap::Args;
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;

/// Give the running instance new secrets
#[derive(Debug, Args)]
#[command(after_help = "\
The old secrets are refused from then on. Services and sessions of users
continue.

Examples:
  emulator rotate
  emulator status --show-secrets        the new ones")]
pub(crate) struct Rotate {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    /// Names of the secrets that are new.
    renewed: Vec<&'a str>,
}

impl Run for Rotate {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let live = context.instance().rotate(context.console).await?;
        let renewed = live.stack.secrets.iter().map(|secret| secret.name.as_str()).collect();
        let report = Report { instance: context.name.as_str(), renewed };
        let people = |report: &Report<'_>| {
            format!(
                "`{}` has new secrets ({}): see them with `emulator status{} --show-secrets`",
                report.instance,
                report.renewed.join(", "),
                hints::flag(&context.name)
            )
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
