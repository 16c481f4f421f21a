//! What a stack looks like from the outside, as the image's manifest has it.
//!
//! The image build merges it from what maintainers write, a [description](crate::description); nothing downstream reads anything
//! else.

use protocol::Hooks;
use serde::{Deserialize, Serialize};

pub mod check;
pub mod exports;
pub mod template;

use exports::{Export, ProjectRequest};

/// The stack of this repository, whose images are meant where no other one is named.
pub const DEFAULT_STACK: &str = "stack-emulator";

/// Largest disk of a machine in GiB.
pub const DISK_GIB_LIMIT: u64 = 2048;

/// Most virtual CPUs of a machine: more than any of QEMU's boards takes.
pub const CPUS_LIMIT: u32 = 4096;

/// Most memory of a machine in MiB.
pub const MEMORY_MIB_LIMIT: u64 = 16 << 20;

/// A stack: the machine that it needs and what it shows to the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Stack {
    /// Name of the stack, and first part of its artefacts' names.
    pub name: String,
    /// The machine that runs it.
    pub machine: MachineSize,
    /// What it serves on the host's loopback interface.
    pub ports: Vec<Port>,
    /// What is replaced by fresh values for every new session.
    pub secrets: Vec<Secret>,
    /// The systemd units whose journals `emulator logs` offers, by the name a user types.
    pub services: Vec<Service>,
    /// What has to be done in a resumed machine for daemons that cannot take secrets while they run. Placeholders are not written
    /// here: they are those of the secrets.
    #[serde(default)]
    pub hooks: Hooks,
    /// What its machines may reach outside of themselves.
    #[serde(default)]
    pub network: Network,
    /// The environment variables that programs of developers get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exports: Vec<Export>,
    /// How the project of a configuration file is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectRequest>,
}

/// What a machine may reach outside of itself. The host reaches the machine's ports either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Network {
    /// The networks of the host and, as 10.0.2.2, what listens on the host's 127.0.0.1.
    #[default]
    Open,
    /// Nothing.
    Closed,
}

/// Default size of the virtual machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct MachineSize {
    /// Memory in MiB.
    pub memory_mib: u64,
    /// Virtual CPUs.
    pub cpus: u32,
    /// Virtual size of the disk in GiB.
    pub disk_gib: u64,
}

/// A TCP port in the guest that the host forwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Port {
    /// Name that people read and flags are made from: "backend".
    pub name: String,
    /// Port inside the guest.
    pub guest: u16,
    /// Default port on the host.
    pub host: u16,
    /// Environment variable that overrides the host port.
    pub env: String,
    /// Path that answers 200 to a GET when the service is healthy; a port without one takes no part in readiness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<String>,
}

/// A secret with a publishable placeholder in the image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Secret {
    /// Name in records and messages: `secret_server_key`.
    pub name: String,
    /// Environment variable that carries it to the services.
    pub env: String,
    /// The value baked into the image; never valid in a session with rotation.
    pub placeholder: String,
    /// What a value looks like.
    pub format: SecretFormat,
    /// Whether it may be sent to every visitor of a site, as keys for clients are.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub publishable: bool,
}

/// What a secret's value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretFormat {
    /// 32 bytes as 64 lower-case hexadecimal digits.
    Hex64,
}

/// A service whose journal can be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Service {
    /// Name that a user types.
    pub name: String,
    /// The systemd unit.
    pub unit: String,
    /// Whether it is a container, whose state the guest is asked for.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub container: bool,
}

/// Why a stack cannot run: two entries claim one name or port, or a value is outside its range.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidStack(pub String);

impl SecretFormat {
    /// Whether `value` has this format.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Hex64 => value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        }
    }
}
