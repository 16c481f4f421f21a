//! Flags of the commands that run the emulator, or make it ready to.

use std::path::PathBuf;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, value_parser};
use image::arch::Arch;
use image::stack::{CPUS_LIMIT, MEMORY_MIB_LIMIT};
use instances::instance::ports::PortRequest;
use instances::instance::start::MachineOptions;
use release::github::Repo;
use vm::accel::Choice;
use vm::machine::MEMORY_MIB_LEAST;
use vm::saving::Strategy;

use super::duration;

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
    #[arg(long, env = "EMULATOR_NO_SNAPSHOT", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
    pub(crate) no_snapshot: bool,

    /// How a new session's snapshot keeps memory; by default the first that is possible here
    #[arg(long, value_name = "template|mapped-ram", help_heading = "Snapshot")]
    pub(crate) strategy: Option<Strategy>,

    /// Leave the image's well-known placeholders in a new session, in place of secrets of its own
    #[arg(long, env = "EMULATOR_NO_ROTATION", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
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
    #[arg(long, env = "EMULATOR_CPUS", hide_env_values = true, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(CPUS_LIMIT)), help_heading = "Machine")]
    pub(crate) cpus: Option<u32>,

    /// Memory in MiB; by default the image's
    #[arg(long, env = "EMULATOR_RAM", hide_env_values = true, value_name = "MIB", value_parser = value_parser!(u64).range(MEMORY_MIB_LEAST..=MEMORY_MIB_LIMIT), help_heading = "Machine")]
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

/// Flags of `rotate`.
#[derive(Debug, Args)]
#[command(after_help = "\
The secrets that the instance had are refused from then on. Services and sessions of users go on.

Examples:
  emulator rotate
  emulator status --show-secrets        the new ones")]
pub(crate) struct Rotate {}

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
    #[arg(long, env = "EMULATOR_FORCE_CAPTURE", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue)]
    pub(crate) force: bool,

    #[command(flatten)]
    pub(crate) machine: Machine,
}

/// Flags of `watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {}
