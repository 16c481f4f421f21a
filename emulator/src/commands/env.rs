//! `emulator env`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;

use base::events::{Event, Reporter};
use base::text::harmless;
use base::variables;
use clap::Args;
use instances::instance::exports::{Exports, Variable};
use serde::Serialize;

use super::Run;
use super::config_file::ConfigFile;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use crate::printer::{Format, print_text};
use crate::syntax::{self, Syntax};

/// Variable that GitHub Actions sets in its steps.
const ACTIONS_VARIABLE: &str = "GITHUB_ACTIONS";

/// Bits of a file's mode that let other users read it.
const READABLE_BY_OTHERS: u32 = 0o044;

/// Print the environment variables of the running stack
#[derive(Debug, Args)]
#[command(after_help = "\
The image's stack says which variables there are. Secrets go to a pipe or a file
as they are, and to a terminal only with `--show-secrets`. `EMULATOR_INSTANCE`
names the instance to other commands.

Examples:
  emulator env                                         secrets are masked
  (umask 077; emulator env > .env)                     a file for `dotenv`
  eval \"$(emulator env -o shell)\"                      into this shell
  emulator env -o powershell | Out-String | Invoke-Expression
  emulator env -o github >> \"$GITHUB_ENV\"              for later workflow steps
  emulator env -o json --config-file stack.config.ts   the project of that file")]
pub(crate) struct Env {
    #[command(flatten)]
    config_file: ConfigFile,

    /// Show secrets on a terminal too
    #[arg(long)]
    show_secrets: bool,

    /// Language of the variables; `json` is one document with a `schemaVersion`
    #[arg(short, long, value_name = "dotenv|json|shell|powershell|github", hide_possible_values = true)]
    #[arg(value_parser = Format::of_variables(), default_value = "dotenv")]
    output: Format,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    /// The variables; null where a secret is not shown.
    variables: BTreeMap<&'a str, Option<&'a str>>,
    /// Names of those that are secret.
    secrets: Vec<&'a str>,
    /// Whether it is unknown if the services have these secrets.
    unconfirmed: bool,
}

impl Run for Env {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let instance = context.instance();
        let exports = instance.exports(&instance.running()?, self.config_file.path.as_deref()).await?;
        if exports.unconfirmed {
            context.console.report(&Event::Warning(&hints::unconfirmed(&context.name)));
        }
        let terminal = io::stdout().is_terminal();
        let shows = self.show_secrets || !terminal;
        match context.printer.format() {
            Format::Variables(syntax) => {
                let text = text(syntax, &exports, shows).map_err(|variable| CommandError::Unwritable {
                    variable: variable.to_owned(),
                    name: context.name.clone(),
                })?;
                let text = if terminal { harmless(&text) } else { text.into() };
                if syntax == Syntax::GitHub && shows {
                    mask(context, &exports);
                }
                print_text(&text).map_err(CommandError::Stdout)?;
            }
            Format::Table | Format::Json => {
                let people = |_: &Report<'_>| String::new();
                context
                    .printer
                    .print(&report(context, &exports, shows), people)
                    .map_err(CommandError::Stdout)?;
            }
        }
        advise(context, &exports, shows);
        Ok(Exit::Ok)
    }
}

/// Says where the secrets are that are not shown, or who else can read those that are.
fn advise(context: &Context<'_>, exports: &Exports, shows: bool) {
    if !exports.variables.iter().any(|variable| variable.secret) {
        return;
    }
    if !shows {
        let text = format!(
            "secrets are not shown on a terminal: add `--show-secrets`, or use a pipe, `emulator env{} | …`",
            hints::flag(&context.name)
        );
        context.console.report(&Event::Notice(&text));
    } else if is_file_of_everyone() && context.printer.format() != Format::Variables(Syntax::GitHub) {
        let text = "other users can read the secrets in the file on stdout: make it private with `chmod 600`";
        context.console.report(&Event::Warning(text));
    }
}

/// The variables in `syntax`.
///
/// # Errors
/// The name of the first one that cannot be written in it.
fn text(syntax: Syntax, exports: &Exports, shows: bool) -> Result<String, &str> {
    let mut text = String::new();
    for Variable { name, value, secret } in &exports.variables {
        let line = if *secret && !shows {
            syntax.comment(&format!("{name} is a secret: {}", value.masked()))
        } else {
            Some(syntax.set(name, value.reveal()).ok_or(name.as_str())?)
        };
        if let Some(line) = line {
            text.push_str(&line);
            text.push('\n');
        }
    }
    Ok(text)
}

fn report<'a>(context: &'a Context<'_>, exports: &'a Exports, shows: bool) -> Report<'a> {
    let pair = |variable: &'a Variable| {
        let value = Some(variable.value.reveal()).filter(|_| shows || !variable.secret);
        (variable.name.as_str(), value)
    };
    let secrets = exports.variables.iter().filter(|variable| variable.secret);
    Report {
        instance: context.name.as_str(),
        variables: exports.variables.iter().map(pair).collect(),
        secrets: secrets.map(|variable| variable.name.as_str()).collect(),
        unconfirmed: exports.unconfirmed,
    }
}

/// Has GitHub Actions hide the secrets in every log from here on. It reads these lines on stderr too, and shows them to no one; anywhere
/// else they would show the secrets.
fn mask(context: &Context<'_>, exports: &Exports) {
    if variables::text(ACTIONS_VARIABLE).as_deref() == Some("true") {
        for variable in exports.variables.iter().filter(|variable| variable.secret) {
            context.console.line(&syntax::mask(variable.value.reveal()));
        }
    }
}

/// Whether stdout is a file that other users can read.
fn is_file_of_everyone() -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let data = stdout.and_then(|file| file.metadata());
    data.is_ok_and(|data| data.is_file() && data.permissions().mode() & READABLE_BY_OTHERS != 0)
}
