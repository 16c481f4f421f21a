//! The grammar of `emulator`: every flag, its variable and its help; nothing that acts.

use std::fmt::Write as _;
use std::time::Duration;

use base::command_line;
use base::console::Verbosity;
use clap::{Args, CommandFactory, Parser, Subcommand};
use image::arch::Arch;
use instances::instance::name::InstanceName;

use crate::printer::Format;

mod about;
mod images;
mod run;

pub(crate) use about::{Completions, Doctor, Version};
pub(crate) use images::{Images, ListReleases, Prune, Pull, PullSource};
pub(crate) use run::{Capture, Logs, Reset, Rotate, Start, Status, Stop, Watch};

/// Heading of the flags that every command has.
const GLOBAL: &str = "Global options";

/// The commands by what they are for, in the order of `--help`.
const GROUPS: [(&str, &[&str]); 3] = [
    ("Run the emulator", &["start", "stop", "status", "logs", "rotate", "reset"]),
    ("Images", &["pull", "list-releases", "images", "prune"]),
    ("This program and this machine", &["capture", "doctor", "version", "completions"]),
];

/// A whole backend in one virtual machine, on 127.0.0.1.
#[derive(Debug, Parser)]
#[command(name = "emulator", bin_name = "emulator", version, disable_help_subcommand = true)]
#[command(after_help = "\
Examples:
  emulator pull --repo OWNER/NAME       download an image and make it ready
  emulator start                        start, and return when every service answers
  emulator status -o json               what runs, where, and how it is
  emulator logs backend --follow        watch one service
  emulator stop                         suspend; the next start goes on from here
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
    /// Instance to act on: each has its own data, ports and machine; by default `default`, or
    /// `default-ARCH` where the architecture is not this machine's
    #[arg(long, global = true, value_name = "NAME", help_heading = GLOBAL)]
    instance: Option<InstanceName>,

    /// Architecture of image and machine; by default the instance's, or this machine's
    #[arg(long, global = true, env = "EMULATOR_ARCH", hide_env_values = true, value_name = "amd64|arm64", help_heading = GLOBAL)]
    pub(crate) arch: Option<Arch>,

    /// What to print on stdout: for people, or one JSON document with a `schemaVersion`
    #[arg(short, long, global = true, value_name = "table|json", value_enum, hide_possible_values = true)]
    #[arg(default_value_t, help_heading = GLOBAL)]
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
    /// The instance to act on.
    pub(crate) fn instance(&self) -> InstanceName {
        let default = || self.arch.map(InstanceName::default_for).unwrap_or_default();
        self.instance.clone().unwrap_or_else(default)
    }

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

/// One command a file in `commands/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the machine and wait until every service answers
    Start(Start),
    /// Suspend the machine; the next start goes on where it was
    Stop(Stop),
    /// Show what runs, where, and how it is
    Status(Status),
    /// Show logs of the services, the serial console or QEMU
    Logs(Logs),
    /// Give the running instance new secrets
    Rotate(Rotate),
    /// Throw the instance's data away; the next start is a new session with new secrets
    Reset(Reset),
    /// Download an image, and make the snapshot that new sessions begin with
    Pull(Pull),
    /// Show the releases that have images
    ListReleases(ListReleases),
    /// Show the images on this machine
    Images(Images),
    /// Remove images, snapshots and downloads that nothing needs
    Prune(Prune),
    /// Make the snapshot that new sessions begin with
    Capture(Capture),
    /// Check whether this machine can run the emulator
    Doctor(Doctor),
    /// Show the version of this program and of the formats that it reads
    Version(Version),
    /// Print the completion script of a shell
    Completions(Completions),
    /// Keep a running instance's clock right (started by `start`, ends with the machine)
    #[command(hide = true)]
    Watch(Watch),
}

/// What a command does with the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HomeUse {
    Nothing,
    Looks,
    Writes,
}

impl Command {
    /// What it does with the home.
    pub(crate) fn home_use(&self) -> HomeUse {
        match self {
            Self::Start(_)
            | Self::Stop(_)
            | Self::Rotate(_)
            | Self::Reset(_)
            | Self::Pull(_)
            | Self::Prune(_)
            | Self::Capture(_) => HomeUse::Writes,
            Self::Status(_) | Self::Logs(_) | Self::Images(_) | Self::Doctor(_) | Self::Watch(_) => {
                HomeUse::Looks
            }
            Self::ListReleases(_) | Self::Version(_) | Self::Completions(_) => HomeUse::Nothing,
        }
    }
}

impl Cli {
    /// Parses the command line, or ends the process as clap does: help and version on stdout, errors on stderr with
    /// exit status 2.
    pub(crate) fn from_command_line() -> Self {
        command_line::parse(grammar()).unwrap_or_else(|error| error.exit())
    }
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
    for (title, names) in GROUPS {
        let _ = writeln!(text, "{title}:");
        for name in names {
            let about = command.find_subcommand(name).and_then(clap::Command::get_about).unwrap_or_default();
            let _ = writeln!(text, "  {name:<14} {about}");
        }
        text.push('\n');
    }
    text
}

/// A wait for people (`90s`, `5m`), or a plain number of seconds; there is no waiting for no time.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let unreadable = |_| format!("`{text}` is no duration: use `90s`, `5m` or a number of seconds");
    let duration = seconds.or_else(|_| humantime::parse_duration(text)).map_err(unreadable)?;
    if duration.is_zero() { Err("it must be longer than 0 s".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        grammar().debug_assert();
    }

    #[test]
    fn every_command_is_in_exactly_one_group_of_the_help() {
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        let command = Cli::command();
        let shown = command.get_subcommands().filter(|command| !command.is_hide_set());
        let existing: Vec<&str> = shown.map(clap::Command::get_name).collect();
        assert_eq!(grouped, existing);
    }

    #[test]
    fn every_variable_is_documented() {
        fn check(command: &clap::Command) {
            for variable in command.get_arguments().filter_map(clap::Arg::get_env) {
                let row = format!("`{}", variable.display());
                assert!(include_str!("../../../docs/home.md").contains(&row), "{row}");
            }
            command.get_subcommands().for_each(check);
        }
        check(&Cli::command());
    }

    #[test]
    fn durations_are_human_or_plain_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        for text in ["soon", "0", "0s"] {
            assert!(duration(text).is_err());
        }
    }
}
