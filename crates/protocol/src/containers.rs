//! What a guest's containers are, as the image build writes them into [`DIR`] and the platform in the guest runs them.
//!
//! Each is one file, `NAME.json`, and one service of the same name, whose unit runs `stackd container run NAME`. All that is known of a container is in
//! it when the image is built, except for the secrets of a session.

mod health;
mod mounts;
mod state;
mod template;

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
};

use serde::{Deserialize, Serialize};

pub use health::{Health, Ready};
pub use mounts::{ContainerFile, FileSource, Tmpfs, Volume};
pub use state::{STATE_FILE, State, Status};
pub use template::{InvalidTemplate, Unfilled, fill, variables};

/// Where the descriptions are in the guest.
pub const DIR: &str = "/usr/lib/stack/containers";

/// Where the layers are in the guest: each in a directory of its own, unpacked from the archive of the same name with `.tar`.
pub const LAYERS: &str = "/var/lib/stack/layers";

/// Where volumes are in the guest, each in a directory of its own.
pub const VOLUMES: &str = "/var/lib/stack/volumes";

/// Where the writable layers are in the guest, each in a directory with the name of its container.
pub const WRITABLE: &str = "/var/lib/stack/writable";

/// The directory of a writable layer with what the container has written, by its path in the container.
pub const WRITTEN: &str = "upper";

/// The machine's own address in the network of its containers, and their gateway.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(172, 30, 0, 1);

/// Bits that the addresses of this network have in common.
pub const PREFIX: u8 = 24;

/// The container after the last one that has an address in the network.
const CONTAINERS_END: u8 = 253;

/// A container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Container {
    /// Name of its service, by which other containers reach it.
    pub name: String,
    /// What it takes for its own name.
    pub hostname: String,
    /// Other names by which containers reach it.
    #[serde(default)]
    pub aliases: Vec<String>,
    /// Its address: [`address`].
    pub address: Ipv4Addr,
    /// Names of the directories in [`LAYERS`], the lowest layer first.
    pub layers: Vec<String>,
    /// The program and its arguments.
    pub args: Vec<String>,
    /// Variables that are the same in every session.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// Variables with secrets of the session. A value is text with places for variables of the session: `postgres://shop:{secret:DB_PASSWORD}@db`;
    /// `{{` and `}}` are braces. [`fill`] puts the values in.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// User, and perhaps group, by names of the image or numbers: `node`, `1000:1000`. Without one: root.
    #[serde(default)]
    pub user: Option<String>,
    /// Absolute directory that the program starts in. Without one: the root.
    #[serde(default)]
    pub working_dir: Option<String>,
    /// Ports of the machine that lead to ports of the container.
    #[serde(default)]
    pub published: Vec<Published>,
    /// Volumes.
    #[serde(default)]
    pub volumes: Vec<Volume>,
    /// File systems in memory.
    #[serde(default)]
    pub tmpfs: Vec<Tmpfs>,
    /// Files beside those of the image.
    #[serde(default)]
    pub files: Vec<ContainerFile>,
    /// Whether the file system of the image is read-only.
    #[serde(default)]
    pub read_only: bool,
    /// Capabilities beside the usual ones: `CAP_NET_ADMIN`, or `ALL`.
    #[serde(default)]
    pub cap_add: Vec<String>,
    /// Capabilities that are taken away, in the same form.
    #[serde(default)]
    pub cap_drop: Vec<String>,
    /// Kernel parameters of its network, `net.…`, by their names.
    #[serde(default)]
    pub sysctls: BTreeMap<String, String>,
    /// Limits of each process.
    #[serde(default)]
    pub ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes. Without one: 64 MiB.
    #[serde(default)]
    pub shm_bytes: Option<u64>,
    /// Whether a small process of the platform is the first one, and reaps the others.
    #[serde(default)]
    pub init: bool,
    /// The signal that ends it: `SIGTERM`, `TERM` or a number. Without one: SIGTERM.
    #[serde(default)]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL.
    pub stop_seconds: u32,
    /// How to see whether it works.
    #[serde(default)]
    pub health: Option<Health>,
    /// When its service counts as started.
    #[serde(default)]
    pub ready: Ready,
    /// More entries of its `/etc/hosts`.
    #[serde(default)]
    pub extra_hosts: BTreeMap<String, IpAddr>,
}

/// A port of the machine that leads to a port of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The port of the machine.
    pub guest: u16,
    /// The port in the container.
    pub container: u16,
}

/// A limit of each process: setrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ulimit {
    /// Its name in lower case: `nofile`.
    pub name: String,
    /// The limit, or nothing if there is none.
    #[serde(default)]
    pub soft: Option<u64>,
    /// What the limit may be raised to, or nothing if there is none.
    #[serde(default)]
    pub hard: Option<u64>,
}

/// Why a text does not describe a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// It is not the expected JSON.
    #[error("invalid description of a container: {0}")]
    Json(#[from] serde_json::Error),
    /// A name would not make a path of its own.
    #[error("invalid {what} `{value}`: expected letters, digits, `.`, `_` and `-`")]
    Name {
        /// What it is a name of: `name`, `layer` or `volume`.
        what: &'static str,
        /// The name.
        value: String,
    },
    /// There is no program.
    #[error("the container `{0}` has no program to run")]
    NoProgram(String),
    /// There is nothing to run the program in.
    #[error("the container `{0}` has no layers")]
    NoLayers(String),
    /// A path of the container is not absolute, or leads out of it.
    #[error("invalid path `{0}` in a container: expected an absolute one without `..`")]
    Path(String),
    /// A value has places for something else than secrets.
    #[error("invalid value of the variable `{variable}`")]
    Template {
        /// Name of the variable.
        variable: String,
        /// What is wrong with it.
        source: InvalidTemplate,
    },
}

/// The address of the container with this number, from 0 on; `None` if there are too many.
pub fn address(number: usize) -> Option<Ipv4Addr> {
    let number = u8::try_from(number).ok().filter(|number| *number < CONTAINERS_END)?;
    let [first, second, third, gateway] = GATEWAY.octets();
    Some(Ipv4Addr::new(first, second, third, gateway + 1 + number))
}

impl Container {
    /// Reads what the image build wrote.
    ///
    /// # Errors
    /// When the text is not the expected JSON, or a name, path or value is not valid.
    pub fn parse(text: &str) -> Result<Self, ContainerError> {
        let container: Self = serde_json::from_str(text)?;
        container.verify()?;
        Ok(container)
    }

    /// Whether it has secrets of the session, as variables or in files.
    pub fn has_secrets(&self) -> bool {
        let in_file = |file: &ContainerFile| matches!(file.source, FileSource::Secret(_));
        !self.secrets.is_empty() || self.files.iter().any(in_file)
    }

    /// The text of its file in [`DIR`].
    ///
    /// # Errors
    /// When a name, path or value is not valid.
    pub fn to_json(&self) -> Result<String, ContainerError> {
        self.verify()?;
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    fn verify(&self) -> Result<(), ContainerError> {
        named("name", &self.name)?;
        self.layers.iter().try_for_each(|layer| named("layer", layer))?;
        self.volumes.iter().try_for_each(|volume| named("volume", &volume.name))?;
        if self.args.is_empty() {
            return Err(ContainerError::NoProgram(self.name.clone()));
        }
        if self.layers.is_empty() {
            return Err(ContainerError::NoLayers(self.name.clone()));
        }
        let targets = (self.volumes.iter().map(|volume| &volume.target))
            .chain(self.tmpfs.iter().map(|tmpfs| &tmpfs.target))
            .chain(self.files.iter().map(|file| &file.target))
            .chain(&self.working_dir);
        for path in targets {
            if !path.starts_with('/') || path.split('/').any(|part| part == "..") {
                return Err(ContainerError::Path(path.clone()));
            }
        }
        for (variable, text) in &self.secrets {
            let invalid = |source| ContainerError::Template { variable: variable.clone(), source };
            variables(text).map_err(invalid)?;
        }
        Ok(())
    }
}

/// Whether a name makes a path of its own.
fn named(what: &'static str, value: &str) -> Result<(), ContainerError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let valid = value.starts_with(|first: char| first.is_ascii_alphanumeric()) && value.bytes().all(plain);
    if valid { Ok(()) } else { Err(ContainerError::Name { what, value: value.to_owned() }) }
}

#[cfg(test)]
mod tests;
