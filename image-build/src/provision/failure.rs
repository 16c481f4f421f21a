//! A guest that could not be provisioned: what happened, in which step, its last output, and where its logs are.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use base::console::seconds;
use vm::process::VmProcessError;

/// A guest that could not be provisioned.
#[derive(Debug)]
pub struct GuestFailure {
    /// What happened.
    pub trouble: Trouble,
    /// The step that was running; `None` before the first one.
    pub step: Option<String>,
    /// The last lines of the step, or of the console.
    pub tail: Vec<String>,
    /// Directory with the logs.
    pub logs: PathBuf,
}

/// What can happen to a guest.
#[derive(Debug)]
pub enum Trouble {
    /// The step failed: "exited with status 3" and the like.
    Step(String),
    /// There was no sign of life for this long.
    Silent(Duration),
    /// A CPU of the guest has stalled: it lost a timer interrupt, which happens under emulation on a busy host.
    CpuStall,
    /// Provisioning was not done after this time.
    TimedOut(Duration),
    /// The machine powered off too early: a kernel panic, or a power-off without a report.
    WentOff,
    /// The guest could not write to its disk, because the host's is full or broken. Has QEMU's reason.
    DiskWrite(String),
    /// QEMU ended with an error.
    Qemu(VmProcessError),
}

impl fmt::Display for GuestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.as_deref().unwrap_or("boot");
        match &self.trouble {
            Trouble::Step(status) => write!(f, "step `{step}` {status}"),
            Trouble::Silent(time) => {
                write!(f, "the guest hangs in step `{step}`: no sign of life for {}", seconds(*time))
            }
            Trouble::CpuStall => write!(f, "a CPU of the guest stalled in step `{step}`"),
            Trouble::TimedOut(limit) => {
                write!(f, "provisioning is not done after {}: step `{step}` is running", seconds(*limit))
            }
            Trouble::WentOff => {
                write!(f, "the machine powered off in step `{step}`, before provisioning was done")
            }
            Trouble::DiskWrite(reason) => {
                write!(f, "the machine's disk cannot be written in step `{step}`: {reason}")
            }
            Trouble::Qemu(_) => write!(f, "QEMU failed in step `{step}`"),
        }?;
        if !self.tail.is_empty() {
            write!(f, ":\n{}", self.tail.join("\n"))?;
        }
        Ok(())
    }
}

impl std::error::Error for GuestFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.trouble {
            Trouble::Qemu(source) => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(trouble: Trouble, step: Option<&str>, tail: &[&str]) -> String {
        let tail = tail.iter().map(|line| (*line).to_owned()).collect();
        GuestFailure { trouble, step: step.map(str::to_owned), tail, logs: "/logs".into() }.to_string()
    }

    #[test]
    fn every_failure_names_the_step_and_the_last_lines() {
        insta::assert_snapshot!(
            text(Trouble::Step("exited with status 3".into()), Some("60-migrations"), &["creating", "no such table"]),
            @r"
        step `60-migrations` exited with status 3:
        creating
        no such table
        "
        );
        insta::assert_snapshot!(
            text(Trouble::Silent(Duration::from_secs(90)), None, &[]),
            @"the guest hangs in step `boot`: no sign of life for 90.0 s"
        );
        insta::assert_snapshot!(
            text(Trouble::DiskWrite("No space left on device".into()), Some("90-slim"), &[]),
            @"the machine's disk cannot be written in step `90-slim`: No space left on device"
        );
    }
}
