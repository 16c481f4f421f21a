//! The ways to keep the memory and the devices of a machine.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::qemu::Capabilities;

/// How the memory and the devices of a machine are kept and brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Memory as a file that the new machine maps privately; devices in a file of their own.
    Template,
    /// Both in one file of QEMU's, which QEMU reads with several threads.
    MappedRam,
}

impl Strategy {
    /// All of them, the better first.
    pub const ALL: [Self; 2] = [Self::Template, Self::MappedRam];

    /// The name that people type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Template => "template",
            Self::MappedRam => "mapped-ram",
        }
    }

    /// Whether a QEMU with these capabilities and this host can do it.
    pub fn is_possible(self, capabilities: &Capabilities) -> bool {
        let migrates = |name: &str| capabilities.migration.iter().any(|known| known == name);
        match self {
            Self::Template => {
                // QEMU 8.2: memory that can be written in front of a file that cannot.
                let maps = capabilities.memory_backend_file.iter().any(|property| property == "rom");
                crate::memory::can_share() && maps
            }
            Self::MappedRam => migrates("mapped-ram") && migrates("multifd"),
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The text names no strategy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy `{0}`: it is `template` or `mapped-ram`")]
pub struct UnknownStrategy(String);

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|strategy| strategy.as_str() == text)
            .ok_or_else(|| UnknownStrategy(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_read_by_the_names_that_they_are_shown_by() {
        for strategy in Strategy::ALL {
            assert_eq!(strategy.to_string().parse(), Ok(strategy));
        }
        let error = "savevm".parse::<Strategy>().unwrap_err().to_string();
        assert_eq!(error, "unknown strategy `savevm`: it is `template` or `mapped-ram`");
    }
}
