//! Flags of every command that may boot a machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, value_parser};
use image::arch::Arch;
use image::stack::{CPUS_LIMIT, MEMORY_MIB_LIMIT};
use instances::instance::start::MachineOptions;
use vm::accel::Choice;
use vm::machine::MEMORY_MIB_LEAST;

/// Flags of every command that may boot a machine.
#[derive(Debug, Args)]
pub(super) struct Machine {
    /// Accelerator: `auto` verifies that the fast one works, else takes `tcg`
    #[arg(
        long,
        env = "EMULATOR_ACCEL",
        hide_env_values = true,
        value_name = "auto|kvm|hvf|tcg",
        default_value = "auto",
        help_heading = "Machine"
    )]
    pub(super) accel: Choice,

    /// Virtual CPUs; by default the image's
    #[arg(long, env = "EMULATOR_CPUS", hide_env_values = true, value_name = "N", value_parser = value_parser!(u32).range(1..=i64::from(CPUS_LIMIT)), help_heading = "Machine")]
    pub(super) cpus: Option<u32>,

    /// Memory in MiB; by default the image's
    #[arg(long, env = "EMULATOR_RAM", hide_env_values = true, value_name = "MIB", value_parser = value_parser!(u64).range(MEMORY_MIB_LEAST..=MEMORY_MIB_LIMIT), help_heading = "Machine")]
    pub(super) memory: Option<u64>,

    /// Image file to use instead of the one in the home
    #[arg(long, value_name = "FILE", help_heading = "Machine")]
    pub(super) image: Option<PathBuf>,

    /// Longest wait for a machine that boots, `90s` or `5m`; by default what the accelerator needs
    #[arg(long, env = "EMULATOR_READY_TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = duration)]
    pub(super) timeout: Option<Duration>,
}

impl Machine {
    /// The same, as the library takes it.
    pub(super) fn options(&self, arch: Option<Arch>) -> MachineOptions {
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

/// A wait for people (`90s`, `5m`), or a plain number of seconds; there is no waiting for no time.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::from_secs);
    let unreadable = |_| format!("invalid duration `{text}`: use `90s`, `5m` or a number of seconds");
    let duration = seconds.or_else(|_| humantime::parse_duration(text)).map_err(unreadable)?;
    if duration.is_zero() { Err("it must be longer than 0 s".to_owned()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_human_or_plain_seconds() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("5m"), Ok(Duration::from_mins(5)));
        for text in ["soon", "0", "0s"] {
            assert!(duration(text).is_err());
        }
    }
}
