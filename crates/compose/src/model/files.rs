//! Configs and secrets: content, and the files that services see it as.

use std::fmt;

/// Bytes that are not shown by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct Content(Vec<u8>);

/// A config or a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Its name under `configs` or `secrets`.
    pub name: String,
    /// Its content.
    pub content: Content,
}

/// A config or a secret as a file of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileUse {
    /// Name of the config or secret.
    pub source: String,
    /// Absolute path in the container.
    pub target: String,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes themselves.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Content({} bytes)", self.0.len())
    }
}
