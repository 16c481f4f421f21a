//! The grammar of `emulator`: the flags that every command has, and the help that groups the commands.

use std::fmt::Write as _;

use base::command_line;
use base::console::Verbosity;
use clap::{Args, CommandFactory, Parser};
use image::arch::Arch;
use image::stack::check;
use instances::name::InstanceName;

use crate::commands::{Command, GROUPS};
use crate::errors::CommandError;
use crate::printer::Format;

/// Heading of the flags that every command has.
const GLOBAL: &str = "Global options";

/// A whole backend in one virtual machine, on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "emulator", bin_name = "emulator", version, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  emulator pull --repo OWNER/NAME       download an image and make it ready
  emulator start                        start, and wait for every service
  emulator status -o json               state, addresses and health
  emulator logs backend --follow        watch one service
  emulator stop                         suspend; the next start resumes
  emulator start --instance feature-17 --port dashboard=auto --port backend=auto
  emulator start --arch arm64 --port dashboard=auto --port backend=auto

Files are kept in `$STACK_EMULATOR_HOME`, by default `~/.stack/emulator`.")]
pub(crate) struct Cli {
    /// Flags that every command has.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command has.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Instance to act on: each has its own data, ports and machine; by default
    /// `EMULATOR_INSTANCE`, else the one of the git worktree if it is a linked one, else `default`,
    /// with `-ARCH` where the architecture is not this machine's
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    instance: Option<InstanceName>,

    /// Stack whose image is used: each has a default instance of its own; by default the
    /// instance's, or `stack-emulator`
    #[arg(long, global = true, env = "EMULATOR_STACK", hide_env_values = true, value_name = "NAME", value_parser = stack_name, help_heading = GLOBAL)]
    pub(crate) stack: Option<String>,

    /// Architecture of image and machine; by default the instance's, or this machine's
    #[arg(long, global = true, env = "EMULATOR_ARCH", hide_env_values = true, value_name = "amd64|arm64", help_heading = GLOBAL)]
    pub(crate) arch: Option<Arch>,

    /// What to print on stdout: for people, or one JSON document with a `schemaVersion`
    #[arg(short, long, global = true, value_name = "table|json", hide_possible_values = true)]
    #[arg(value_parser = Format::of_commands(), default_value = "table", help_heading = GLOBAL)]
    pub(crate) output: Format,

    /// Short for `--output json`
    #[arg(long, global = true, conflicts_with = "output", help_heading = GLOBAL)]
    pub(crate) json: bool,

    /// Show warnings and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = GLOBAL)]
    pub(crate) quiet: bool,

    /// Show every detail
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub(crate) verbose: bool,
}

impl Global {
    /// What goes to stdout.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// What goes to stderr.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

impl Cli {
    /// Parses the command line by `grammar`.
    ///
    /// # Errors
    /// With the help or the version that was asked for, or with what is wrong.
    pub(crate) fn from_command_line(grammar: clap::Command) -> Result<Self, clap::Error> {
        command_line::parse(grammar)
    }

    /// The instance that the command line names, if it names one.
    pub(crate) fn named_instance(&self) -> Option<InstanceName> {
        let named = match &self.command {
            Command::Delete(delete) => delete.name.clone(),
            _ => None,
        };
        named.or_else(|| self.global.instance.clone())
    }

    /// Verifies that an instance is named where a command needs that: deleting one is not for a slip.
    ///
    /// # Errors
    /// When none is.
    pub(crate) fn check_named(&self) -> Result<(), CommandError> {
        match &self.command {
            Command::Delete(delete) if !delete.all && self.named_instance().is_none() => {
                Err(CommandError::Unnamed)
            }
            _ => Ok(()),
        }
    }
}

/// A name that a stack can have.
fn stack_name(text: &str) -> Result<String, String> {
    check::name(text).map(|()| text.to_owned())
}

/// Whether the command line, which cannot be understood, names a command that runs one of the user's.
pub(crate) fn asks_for_wrapper() -> bool {
    let matches = grammar().ignore_errors(true).try_get_matches().ok();
    matches.is_some_and(|matches| matches.subcommand_name().is_some_and(Command::wraps_by_name))
}

/// The grammar with its commands grouped in `--help`.
pub(crate) fn grammar() -> clap::Command {
    let command = Cli::command();
    let groups = grouped(&command);
    command.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}{GLOBAL}:\n{{options}}{{after-help}}"
    ))
}

fn grouped(command: &clap::Command) -> String {
    let mut text = String::new();
    let mut commands = command.get_subcommands();
    for (title, count) in GROUPS {
        let _ = writeln!(text, "{title}:");
        for command in commands.by_ref().take(*count) {
            let (name, about) = (command.get_name(), command.get_about().unwrap_or_default());
            let _ = writeln!(text, "  {name:<14} {about}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn every_command_is_in_exactly_one_group_of_the_help() {
        let command = Cli::command();
        let help = grouped(&command);
        let grouped: Vec<&str> =
            help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let existing: Vec<&str> = shown.map(clap::Command::get_name).collect();
        assert_eq!(grouped, existing);
    }

    #[test]
    fn every_command_that_prints_json_has_a_schema() {
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        // What these print is a script, or comes from the user's command.
        let others = ["completions", "exec", "run"];
        let printing = shown.map(clap::Command::get_name).filter(|name| !others.contains(name));
        let expected: BTreeSet<_> =
            printing.chain(["error"]).map(|name| format!("{name}.schema.json")).collect();
        let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/schemas")).unwrap();
        let found: BTreeSet<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_variable_is_documented() {
        fn check(command: &clap::Command) {
            for variable in command.get_arguments().filter_map(clap::Arg::get_env) {
                let row = format!("`{}", variable.display());
                assert!(include_str!("../../docs/home.md").contains(&row), "{row}");
            }
            command.get_subcommands().for_each(check);
        }
        assert!(
            include_str!("../../docs/home.md").contains(&format!("`{}", instances::name::INSTANCE_VARIABLE))
        );
        check(&Cli::command());
    }
}
