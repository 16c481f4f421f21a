//! What is mounted over the file system of a container's image.

use serde::{Deserialize, Serialize};

/// A volume: a directory that outlives its container. Containers that name the same one share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Volume {
    /// Name of its directory in [`VOLUMES`](super::VOLUMES).
    pub name: String,
    /// Absolute path in the container.
    pub target: String,
    /// Whether the container cannot write to it.
    #[serde(default)]
    pub read_only: bool,
    /// Whether a new volume begins with what the image has at the target.
    #[serde(default = "yes")]
    pub copy: bool,
}

fn yes() -> bool {
    true
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub target: String,
    /// Most bytes that it holds. Without it: half of the memory.
    #[serde(default)]
    pub size_bytes: Option<u64>,
    /// Permissions of its root. Without them: 1777.
    #[serde(default)]
    pub mode: Option<u32>,
    /// Other options of mount(8): `noexec`, `uid=1000`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// A file beside those of the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerFile {
    /// Absolute path in the container.
    pub target: String,
    /// What is in it.
    pub source: FileSource,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Permissions.
    pub mode: u32,
}

/// What is in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileSource {
    /// This text.
    Content(String),
    /// The value that this variable has in the session: it is written again when the session gets another one.
    Secret(String),
}
