//! The virtual machine in which provisioning runs, as this host supports it.

use std::time::Duration;

use image::stack::MachineSize;
use vm::accel::{Choice, Chooser, Decision};
use vm::home::Home;
use vm::machine::Accelerator;
use vm::machine::DirectBoot;
use vm::qemu::{Qemu, QemuError};

/// How long a guest may be silent on a host that runs it natively. Building an initial RAM file system takes longest of all
/// that is done without output.
const STALL: Duration = Duration::from_mins(1);

/// How long the whole of provisioning may take on such a host.
const OVERALL: Duration = Duration::from_mins(10);

/// How long a guest may take to power off there.
const POWER_OFF: Duration = Duration::from_secs(30);

/// QEMU and the size of the machine.
#[derive(Debug)]
pub struct HostMachine {
    /// Where verdicts about accelerators are remembered.
    pub home: Home,
    /// The QEMU that runs it.
    pub qemu: Qemu,
    /// Its size.
    pub size: MachineSize,
    /// The requested limits.
    pub limits: Limits,
}

/// Limits that a caller may set; those that are `None` follow from the accelerator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Longest silence of a guest.
    pub stall: Option<Duration>,
    /// Longest time of provisioning.
    pub overall: Option<Duration>,
}

/// Limits of one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// Longest silence of the guest.
    pub stall: Duration,
    /// Longest time of the whole run.
    pub overall: Duration,
    /// Longest time from the guest's last message to its end.
    pub power_off: Duration,
}

impl HostMachine {
    /// The machine of `size` on the QEMU that this host has.
    ///
    /// # Errors
    /// When there is no usable QEMU.
    pub async fn find(
        home: Home,
        arch: image::arch::Arch,
        size: MachineSize,
        limits: Limits,
    ) -> Result<Self, QemuError> {
        let qemu = Qemu::find(&home, arch).await?;
        Ok(Self { home, qemu, size, limits })
    }

    /// Chooses what runs the guest.
    ///
    /// # Errors
    /// When accelerators cannot be tried.
    pub async fn accelerator(&self, boot: &DirectBoot) -> Result<Decision, vm::accel::AccelError> {
        Chooser { home: &self.home, qemu: &self.qemu, boot }.choose(Choice::Auto).await
    }
}

impl Limits {
    /// The limits on `accelerator`.
    pub fn on(self, accelerator: Accelerator) -> Deadlines {
        let patience = accelerator.patience();
        Deadlines {
            stall: self.stall.unwrap_or(STALL * patience),
            overall: self.overall.unwrap_or(OVERALL * patience),
            power_off: POWER_OFF * patience,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requested_limits_are_not_stretched() {
        let limits = Limits { stall: Some(Duration::from_secs(5)), overall: None };
        let deadlines = limits.on(Accelerator::Tcg);
        assert_eq!(deadlines.stall, Duration::from_secs(5));
        assert!(deadlines.overall > limits.on(Accelerator::Kvm).overall);
    }
}
