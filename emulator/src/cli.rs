//! The grammar of `emulator`: every flag, its variable and its help; nothing that acts.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::builder::FalseyValueParser;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use host::console::Verbosity;
use release::arch::Arch;
use release::github::Repo;
use vm::accel::Choice;
use vm::instance::name::InstanceName;
use vm::instance::ports::PortRequest;
use vm::instance::start::MachineOptions;
use vm::snapshot::Strategy;

use crate::printer::Format;

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

/// Flags of `start`.
#[derive(Debug, Args)]
#[command(after_help = "\
Starting what already runs is no error: it is reported as it is. What `stop` has suspended goes on
with its data and secrets. A new session begins with a snapshot, made on this machine the first
time, and gets secrets of its own: see them with `emulator status --show-secrets`.

Each port is the first of: `--port`, the variable that the image names for it, the port that
an earlier `--port` chose for this instance, the image's default.

Examples:
  emulator start
  emulator start --port backend=30001 --port dashboard=auto
  emulator start --accel tcg --timeout 5m
  emulator start --no-snapshot          boot, in place of going on from saved memory
  emulator start -o json                ports, phases and seconds for a program
  emulator start --repo OWNER/NAME      on a machine without an image: pull one first")]
pub(crate) struct Start {
    /// Host port of a service: a number, or `auto` for any free one; repeatable
    #[arg(long = "port", value_name = "NAME=PORT", help_heading = "Ports")]
    pub(crate) ports: Vec<PortRequest>,

    #[command(flatten)]
    pub(crate) machine: Machine,

    /// Repository that the image is pulled from when there is none here
    #[arg(
        long,
        env = "EMULATOR_REPO",
        hide_env_values = true,
        value_name = "OWNER/NAME",
        help_heading = "Image"
    )]
    pub(crate) repo: Option<Repo>,

    /// Never pull: fail when there is no image here
    #[arg(long, help_heading = "Image")]
    pub(crate) offline: bool,

    /// Boot, in place of going on from saved memory
    #[arg(long, env = "EMULATOR_NO_SNAPSHOT", hide_env_values = true, value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
    pub(crate) no_snapshot: bool,

    /// How a new session's snapshot keeps memory; by default the first that is possible here
    #[arg(long, value_name = "template|mapped-ram", help_heading = "Snapshot")]
    pub(crate) strategy: Option<Strategy>,

    /// Leave the image's well-known placeholders in a new session, in place of secrets of its own
    #[arg(long, env = "EMULATOR_NO_ROTATION", hide_env_values = true, value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
    pub(crate) no_rotation: bool,

    /// Longest wait for the services when going on from saved memory, `10s`
    #[arg(long, env = "EMULATOR_SNAPSHOT_READY_TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = duration, help_heading = "Snapshot")]
    pub(crate) snapshot_timeout: Option<Duration>,
}

/// Flags of every command that may boot a machine.
#[derive(Debug, Args)]
pub(crate) struct Machine {
    /// Accelerator: `auto` proves that the fast one works, else takes `tcg`
    #[arg(long, value_name = "auto|kvm|hvf|tcg", default_value = "auto", help_heading = "Machine")]
    pub(crate) accel: Choice,

    /// Virtual CPUs; by default the image's
    #[arg(long, env = "EMULATOR_CPUS", hide_env_values = true, value_name = "N", help_heading = "Machine")]
    pub(crate) cpus: Option<u32>,

    /// Memory in MiB; by default the image's
    #[arg(long, env = "EMULATOR_RAM", hide_env_values = true, value_name = "MIB", help_heading = "Machine")]
    pub(crate) memory: Option<u64>,

    /// Image file to use instead of the one in the home
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub(crate) image: Option<PathBuf>,

    /// Longest wait for a machine that boots, `90s` or `5m`; by default what the accelerator needs
    #[arg(long, env = "EMULATOR_READY_TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
}

impl Machine {
    /// The same, as the library takes it.
    pub(crate) fn options(&self, arch: Option<Arch>) -> MachineOptions {
        MachineOptions {
            accel: self.accel,
            arch,
            cpus: self.cpus,
            memory_mib: self.memory,
            image: self.image.clone(),
            timeout: self.timeout,
        }
    }
}

/// Flags of `pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is here already is not downloaded again, and what was interrupted goes on where it stopped. The image that is
in use stays until the new one is complete and proved to be one; instances with data keep the image that it is on.

Releases need no token, other images do: `GITHUB_TOKEN`, `GH_TOKEN`, or what `gh auth token` prints.
`GITHUB_API_URL` names another GitHub than the public one.

Exit codes: 0 it is here, 1 it is not there or cannot be had, 4 a token is missing, refused or used up,
6 nothing came for too long, 7 what came is not what it should be.

Examples:
  emulator pull --repo OWNER/NAME       the newest image of branch `dev`
  emulator pull --branch main --skip-snapshot
  emulator pull --tag emulator-dev-20260131-0123abcd
  emulator pull --pr 123                the image that was built for a pull request
  emulator pull --run 4567890           what a workflow run has left
  emulator pull --file stack-emulator-amd64.qcow2")]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) source: PullSource,

    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repo>,

    /// Accept an image that was built from another repository's code
    #[arg(long)]
    pub(crate) allow_fork: bool,

    /// Make no snapshot; the first start does
    #[arg(long)]
    pub(crate) skip_snapshot: bool,

    /// Download also what is here already
    #[arg(long)]
    pub(crate) force: bool,
}

/// Where `pull` takes the image from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PullSource {
    /// Newest release of this branch; the default is `dev`
    #[arg(long, value_name = "NAME", help_heading = "What to pull")]
    pub(crate) branch: Option<String>,

    /// Release with this tag
    #[arg(long, value_name = "TAG", help_heading = "What to pull")]
    pub(crate) tag: Option<String>,

    /// Image of the head of this pull request
    #[arg(long, value_name = "N", help_heading = "What to pull")]
    pub(crate) pr: Option<u64>,

    /// Image of this workflow run
    #[arg(long, value_name = "ID", help_heading = "What to pull")]
    pub(crate) run: Option<u64>,

    /// Image in this file, or in a zip that is this file
    #[arg(long, value_name = "PATH", help_heading = "What to pull")]
    pub(crate) file: Option<PathBuf>,
}

/// Flags of `list-releases`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator list-releases --repo OWNER/NAME
  emulator list-releases --branch main -o json")]
pub(crate) struct ListReleases {
    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repo>,

    /// Only releases of this branch
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
}

/// Flags of `images`.
#[derive(Debug, Args)]
#[command(after_help = "\
New sessions begin with the current image. An older one is kept while an instance has data on it.

Examples:
  emulator images
  emulator images -o json")]
pub(crate) struct Images {}

/// Flags of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Removed are replaced images that no instance has data on, snapshots that no session would begin with, unfinished
downloads, and what killed commands have left of them. The data of instances is never touched: that is what `emulator reset` is for.

Examples:
  emulator prune --dry-run              show what would go
  emulator prune")]
pub(crate) struct Prune {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Flags of `stop`.
#[derive(Debug, Args)]
#[command(after_help = "\
The machine is stopped as it is, and its memory kept beside its disk: the next `start` goes on from
there. Where that cannot be done, and with `--shutdown`, the guest is asked to power off. If it
does not, QEMU is told to end, and at last killed; each step is reported. The data stays in any case.
Stopping what does not run is no error.

Examples:
  emulator stop
  emulator stop --shutdown              let the guest shut down; the next start boots it
  emulator stop --instance feature-17")]
pub(crate) struct Stop {
    /// Power off by the guest's own shutdown; the next start boots from the disk
    #[arg(long)]
    pub(crate) shutdown: bool,
}

/// Flags of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 running and healthy, 1 unhealthy or broken, 3 not running.

Examples:
  emulator status
  emulator status --show-secrets        with the keys that clients need
  emulator status -o json")]
pub(crate) struct Status {
    /// Show the values of the session's secrets
    #[arg(long)]
    pub(crate) show_secrets: bool,
}

/// Flags of `rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The secrets that the instance had are refused from then on. Services and sessions of users go on.

Examples:
  emulator rotate
  emulator status --show-secrets        the new ones")]
pub(crate) struct Rotate {}

/// Flags of `capture`.
#[derive(Debug, Args)]
#[command(after_help = "\
`start` does this by itself when there is no snapshot that fits. A snapshot fits one image, one QEMU and
one machine; it never leaves this computer. Instances are not touched.

Examples:
  emulator capture
  emulator capture --force              in place of the one that there is
  emulator capture --strategy mapped-ram --memory 4096")]
pub(crate) struct Capture {
    /// How memory is kept; by default the first that is possible here
    #[arg(long, value_name = "template|mapped-ram")]
    pub(crate) strategy: Option<Strategy>,

    /// Make one even if there is one that fits
    #[arg(long, env = "EMULATOR_FORCE_CAPTURE", hide_env_values = true, value_parser = FalseyValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Flags of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {}

/// Flags of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Sources: `serial` (the guest's console), `qemu`, and every service that the image names.
Without a source: all services of a running instance, the console of a stopped one.

Examples:
  emulator logs
  emulator logs backend -n 20
  emulator logs serial --follow
  emulator logs postgres -o json        one JSON document a line")]
pub(crate) struct Logs {
    /// Service, `serial` or `qemu`
    #[arg(value_name = "SOURCE")]
    pub(crate) source: Option<String>,

    /// Go on with new lines until the instance stops
    #[arg(short, long)]
    pub(crate) follow: bool,

    /// How many of the last lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    pub(crate) lines: usize,
}

/// Flags of `reset`.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything that was written since the first start is lost, and the session's secrets with it; the
instance keeps its ports. A running instance is stopped.

Examples:
  emulator reset
  emulator reset --yes                  without the question, as scripts need it")]
pub(crate) struct Reset {
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 this machine can run the emulator, 5 it cannot.

Examples:
  emulator doctor
  emulator doctor -o json")]
pub(crate) struct Doctor {}

/// Flags of `version`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator version
  emulator version -o json")]
pub(crate) struct Version {}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator completions bash > ~/.local/share/bash-completion/completions/emulator
  emulator completions zsh > ~/.zfunc/_emulator
  emulator completions fish > ~/.config/fish/completions/emulator.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}

impl Cli {
    /// Parses the command line, or ends the process as clap does: help and version on stdout, errors on stderr with
    /// exit status 2.
    pub(crate) fn from_command_line() -> Self {
        let matches = grammar().get_matches();
        Self::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
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

/// A duration for people (`90s`, `5m`), or a plain number of seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let unreadable = |_| format!("`{text}` is no duration: use `90s`, `5m` or a number of seconds");
    seconds.or_else(|_| humantime::parse_duration(text)).map_err(unreadable)
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
    fn durations_are_human_or_plain_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        assert!(duration("soon").is_err());
    }
}
