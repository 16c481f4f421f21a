//! `emulator doctor`.

use clap::Args;
use image::arch::Arch;
use instances::doctor::{Check, PortSources, Verdict, examine};
use serde::Serialize;
use vm::error::Explain;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use crate::printer::table;
use crate::settings::{Origin, Setting};

/// Check whether this machine can run the emulator
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 this machine can run the emulator, 5 it cannot.

Examples:
  emulator doctor
  emulator doctor -o json")]
pub(crate) struct Doctor {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Whether this machine can run the emulator.
    usable: bool,
    checks: Vec<Check>,
    /// What holds where no flag says otherwise.
    settings: Vec<Setting>,
}

impl Run for Doctor {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let arch = context.arch.or_else(Arch::host).unwrap_or(Arch::Amd64);
        let hint = |error: &(dyn Explain + 'static)| hints::about(error, &context.name);
        let variable = |name: &str| context.settings.variable(name);
        let file_ports = context.settings.ports();
        let automatic = context.worktree.is_some();
        let sources = PortSources { variable: &variable, file_ports: &file_ports, automatic };
        let checks = examine(&context.instance(), arch, &sources, &hint, context.console).await;
        let usable = checks.iter().all(|check| check.verdict != Verdict::Fail);
        let report = Report { usable, checks, settings: context.settings.effective() };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(if usable { Exit::Ok } else { Exit::HostUnsupported })
    }
}

fn people(report: &Report) -> String {
    let row = |check: &Check| {
        let verdict = match check.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        let hint = check.hint.as_ref().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
        [check.name.to_owned(), verdict.to_owned(), format!("{}{hint}", check.text)]
    };
    let checks = table(["CHECK", "RESULT", "FINDING"], report.checks.iter().map(row));
    if report.settings.is_empty() {
        return checks;
    }
    let row = |it: &Setting| {
        let origin = match it.origin {
            Origin::Environment => "environment",
            Origin::Project => "project",
            Origin::User => "user",
        };
        [it.key.clone(), it.value.clone(), format!("{origin}: `{}`", it.source)]
    };
    format!("{checks}\n\n{}", table(["SETTING", "VALUE", "FROM"], report.settings.iter().map(row)))
}
