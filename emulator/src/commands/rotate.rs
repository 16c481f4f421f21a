//! `emulator rotate`.

use serde::Serialize;

use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    /// Names of the secrets that are new.
    renewed: Vec<&'a str>,
}

/// Renews the secrets and names them.
pub(crate) async fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    let live = context.instance().rotate(context.console).await?;
    let renewed = live.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let report = Report { instance: context.name.as_str(), renewed };
    let people = |report: &Report<'_>| {
        format!(
            "`{}` has new secrets ({}): see them with `emulator status{} --show-secrets`",
            report.instance,
            report.renewed.join(", "),
            context.name.flag()
        )
    };
    context.printer.print(&report, people).map_err(CommandError::Stdout)?;
    Ok(Exit::Ok)
}
