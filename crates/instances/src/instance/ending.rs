//! The ways in which an instance ends.

use std::time::Duration;

use serde::Serialize;

/// How an instance came to be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// It did not run.
    WasStopped,
    /// QEMU had ended without a command; what it left behind is cleaned up.
    WasGone,
    /// The machine was suspended: memory and devices are kept beside its disk.
    Suspended,
    /// The guest powered itself off.
    PoweredOff,
    /// QEMU was ended by a signal, and closed its disks; the guest did not shut down.
    Terminated,
    /// QEMU had to be killed.
    Killed,
    /// QEMU crashed, or was killed by another program, while it was being stopped.
    Crashed,
}

/// How an instance was stopped.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stopped {
    /// The last step of the ladder that was needed.
    pub ending: Ending,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Stopped {
    /// How long it took.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}
