//! What runs a guest's instructions.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What runs a guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accelerator {
    /// The processor, by Linux's KVM.
    Kvm,
    /// The processor, by macOS's Hypervisor framework.
    Hvf,
    /// QEMU's translator: works everywhere, and for every architecture, at a tenth of the speed or less.
    Tcg,
}

impl Accelerator {
    /// The accelerator by which this operating system runs guests on the processor.
    pub const fn native() -> Self {
        if cfg!(target_os = "macos") { Self::Hvf } else { Self::Kvm }
    }

    /// QEMU's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Tcg => "tcg",
        }
    }

    /// By what factor deadlines for the guest's own work are longer than on the processor.
    pub const fn patience(self) -> u32 {
        match self {
            Self::Kvm | Self::Hvf => 1,
            Self::Tcg => 8,
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
