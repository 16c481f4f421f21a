//! QEMU's version, compared as a whole.

use std::fmt;
use std::str::FromStr;

use qapi::qmp::VersionInfo;
use serde::{Deserialize, Serialize};

/// A version of QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Version {
    /// Counts years.
    pub major: u32,
    /// Counts releases of the year.
    pub minor: u32,
    /// Counts corrections of the release; 50 and above are development snapshots.
    pub patch: u32,
}

/// The text is not a version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid version `{0}`: use `major.minor.patch`")]
pub struct NoVersion(String);

impl Version {
    /// The version with these parts.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = text.split('.').map(str::parse);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch)), None) => Ok(Self::new(major, minor, patch)),
            _ => Err(NoVersion(text.to_owned())),
        }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.to_string()
    }
}

impl TryFrom<String> for Version {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<&VersionInfo> for Version {
    fn from(info: &VersionInfo) -> Self {
        let part = |number: i64| u32::try_from(number).unwrap_or(0);
        Self::new(part(info.qemu.major), part(info.qemu.minor), part(info.qemu.micro))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_compare_as_a_whole() {
        assert!(Version::new(9, 0, 0) > Version::new(8, 2, 5));
        assert!(Version::new(10, 0, 0) > Version::new(9, 2, 0));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(major: u32, minor: u32, patch: u32) {
            let version = Version::new(major, minor, patch);
            prop_assert_eq!(version.to_string().parse(), Ok(version));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text: String) {
            let _ = text.parse::<Version>();
        }
    }
}
