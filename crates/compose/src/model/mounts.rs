//! Volumes, and what a container mounts.

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its name under `volumes`.
    pub name: String,
}

/// Something that is mounted over the file system of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mount {
    /// A volume.
    Volume {
        /// Which one.
        source: VolumeSource,
        /// Absolute path in the container.
        target: String,
        /// Whether the container cannot write to it.
        read_only: bool,
        /// Whether an empty volume is first filled with what the image has at the target.
        copy: bool,
    },
    /// A file system in memory.
    Tmpfs(Tmpfs),
}

/// Which volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeSource {
    /// A named one, which services can share.
    Named(String),
    /// One of the container's own.
    Anonymous,
}

/// A file system in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tmpfs {
    /// Absolute path in the container.
    pub target: String,
    /// Size in bytes.
    pub size: Option<u64>,
    /// Permissions of its root.
    pub mode: Option<u32>,
    /// Other options of mount(8): `noexec`, `uid=1000`.
    pub options: Vec<String>,
}

impl Mount {
    /// Absolute path in the container.
    pub fn target(&self) -> &str {
        match self {
            Self::Volume { target, .. } | Self::Tmpfs(Tmpfs { target, .. }) => target,
        }
    }
}
