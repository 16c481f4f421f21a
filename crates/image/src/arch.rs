//! The architectures that images exist for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stack::DEFAULT_STACK;

/// An image's architecture, by the names that Debian and the published artefacts use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// x86-64.
    Amd64,
    /// 64-bit Arm.
    Arm64,
}

/// The text names no architecture that images exist for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown architecture `{0}`: it is `amd64` or `arm64`")]
pub struct UnknownArch(pub String);

impl Arch {
    /// Every architecture that images exist for.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// The architecture of this machine, or `None` where no image can run natively.
    pub fn host() -> Option<Self> {
        std::env::consts::ARCH.parse().ok()
    }

    /// Debian's name, also the one in artefact names.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The suffix of `qemu-system-…` and of kernel and compiler triples.
    pub const fn qemu(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64",
            Self::Arm64 => "aarch64",
        }
    }

    /// File name of the image of this repository's stack.
    pub fn image_file(self) -> String {
        self.image_file_of(DEFAULT_STACK)
    }

    /// File name of the image of `stack`, in a home and where it is published.
    pub fn image_file_of(self, stack: &str) -> String {
        format!("{stack}-{self}.qcow2")
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "amd64" | "x86_64" => Ok(Self::Amd64),
            "arm64" | "aarch64" => Ok(Self::Arm64),
            other => Err(UnknownArch(other.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_spellings_name_one_architecture() {
        assert_eq!("x86_64".parse(), Ok(Arch::Amd64));
        assert_eq!("arm64".parse(), Ok(Arch::Arm64));
        assert_eq!("mips".parse::<Arch>(), Err(UnknownArch("mips".to_owned())));
        assert_eq!(Arch::Arm64.image_file(), "stack-emulator-arm64.qcow2");
    }
}
