//! Names of instances: they become directory and socket names, so they are short and plain.

use std::fmt;
use std::str::FromStr;

use base::digest;
use image::arch::Arch;
use serde::{Deserialize, Serialize};
use vm::home::DEFAULT_STACK;

/// Longest name. Several instances' sockets share one short directory, and a person types the name.
pub const MAX_LENGTH: usize = 32;

/// Longest [`stem`] of a name. Digits, an architecture and a number fit behind it.
const STEM_LIMIT: usize = 15;

/// Digits that tell names with the same stem apart.
const DIGITS: usize = 6;

/// The name of the instance that commands act on when none is given.
pub const DEFAULT: &str = "default";

/// The variable that names the instance to programs that are run beside it.
pub const INSTANCE_VARIABLE: &str = "EMULATOR_INSTANCE";

/// A valid name: lower-case letters, digits and inner hyphens, at most [`MAX_LENGTH`] of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct InstanceName(String);

/// The text is not a valid instance name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid instance name `{0}`: use 1 to {MAX_LENGTH} lower-case letters, digits or hyphens; no hyphen at the start or end"
)]
pub struct InvalidName(pub String);

impl InstanceName {
    /// The name that commands act on when none is given and the machine is for `arch`.
    pub fn default_for(arch: Arch) -> Self {
        Self::default().for_arch(arch)
    }

    /// This name where the machine is for this host's architecture, and one of its own for another: instances of two architectures can
    /// exist side by side without having to be named. To be used with names that leave room for it.
    #[must_use]
    pub fn for_arch(self, arch: Arch) -> Self {
        if Arch::host().is_none_or(|host| host == arch) { self } else { Self(format!("{self}-{arch}")) }
    }

    /// The name that commands act on when none is given and the machine is of `stack`: instances of two stacks can exist side by side
    /// without having to be named. It leaves room for an architecture and a number.
    pub fn default_of(stack: &str) -> Self {
        if stack == DEFAULT_STACK {
            return Self::default();
        }
        let stem = stem(stack, "stack");
        // What is not the stack's name as it is could be that of two stacks.
        let name = if stem == stack && stem != DEFAULT { stem } else { format!("{stem}-{}", digits(stack)) };
        Self(name)
    }

    /// The name of the instance with this number, of several that are started together.
    ///
    /// # Errors
    /// When it is too long.
    pub fn numbered(&self, number: u32) -> Result<Self, InvalidName> {
        format!("{self}-{number}").parse()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The beginning of an instance's name, from a text such as the name of a directory; `otherwise` if nothing of it is valid.
pub(crate) fn stem(text: &str, otherwise: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let text: String = text.chars().map(plain).collect();
    let words: Vec<_> = text.split('-').filter(|word| !word.is_empty()).collect();
    let mut stem = words.join("-");
    stem.truncate(STEM_LIMIT);
    let stem = stem.trim_end_matches('-');
    if stem.is_empty() { otherwise.to_owned() } else { stem.to_owned() }
}

/// What tells names with the same [`stem`] apart.
pub(crate) fn digits(bytes: impl AsRef<[u8]>) -> String {
    digest::of_bytes(bytes.as_ref()).first_digits(DIGITS)
}

impl Default for InstanceName {
    fn default() -> Self {
        Self(DEFAULT.to_owned())
    }
}

impl FromStr for InstanceName {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = text.as_bytes();
        let valid = bytes.len() <= MAX_LENGTH
            && bytes.iter().all(|&b| plain(b) || b == b'-')
            && bytes.first().copied().is_some_and(plain)
            && bytes.last().copied().is_some_and(plain);
        if valid { Ok(Self(text.to_owned())) } else { Err(InvalidName(text.to_owned())) }
    }
}

impl TryFrom<String> for InstanceName {
    type Error = InvalidName;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<InstanceName> for String {
    fn from(name: InstanceName) -> Self {
        name.0
    }
}

impl fmt::Display for InstanceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_accepted() {
        for name in ["default", "a", "feature-17", "0", &"x".repeat(MAX_LENGTH)] {
            assert_eq!(name.parse::<InstanceName>().unwrap().as_str(), name);
        }
    }

    #[test]
    fn another_architecture_has_a_default_of_its_own() {
        let names = Arch::ALL.map(|arch| InstanceName::default_for(arch).to_string());
        assert!(names.contains(&DEFAULT.to_owned()), "{names:?}");
        let foreign = Arch::ALL.into_iter().find(|arch| Arch::host() != Some(*arch)).unwrap();
        assert_eq!(InstanceName::default_for(foreign).as_str(), format!("default-{foreign}"));
    }

    #[test]
    fn each_stack_has_a_default_of_its_own() {
        let name = |stack: &str| InstanceName::default_of(stack).to_string();
        assert_eq!((name(DEFAULT_STACK).as_str(), name("shop").as_str()), (DEFAULT, "shop"));
        for stack in ["default", "Shop", "shop_2", &"x".repeat(64), "_"] {
            let name = name(stack);
            assert!(name.len() <= STEM_LIMIT + 1 + DIGITS && name.contains('-'), "{name}");
            assert!(name.parse::<InstanceName>().is_ok(), "{name}");
        }
    }

    #[test]
    fn instances_that_are_started_together_are_numbered() {
        let name = InstanceName::default();
        assert_eq!(name.numbered(3).unwrap().as_str(), "default-3");
        let long: InstanceName = "x".repeat(MAX_LENGTH - 1).parse().unwrap();
        assert!(long.numbered(1).is_err());
    }

    #[test]
    fn names_that_could_leave_the_directory_or_hide_in_it_are_refused() {
        for name in ["", ".", "..", "a/b", "-a", "a-", "A", "ä", "a b", &"x".repeat(MAX_LENGTH + 1)] {
            assert_eq!(name.parse::<InstanceName>(), Err(InvalidName(name.to_owned())), "{name}");
        }
    }
}
