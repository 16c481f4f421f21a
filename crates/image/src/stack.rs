//! The description of a stack, as maintainers write it in `stack.toml`.
//!
//! It is the only place that knows what a particular product looks like from the outside. The image build copies it into
//! the image's manifest; nothing downstream reads anything else.

use protocol::Hooks;
use serde::{Deserialize, Serialize};

pub mod check;

/// Version of the description's format that this program reads.
pub const FORMAT: u32 = 1;

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
}

/// Why a description cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StackError {
    /// Not TOML, or not of the expected shape.
    #[error("`stack.toml` is not valid")]
    Parse(#[from] toml::de::Error),
    /// Written for another version of this program.
    #[error("`stack.toml` has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The format that the file claims.
        found: u32,
    },
    /// Two entries claim one name or port, or a value is outside its range.
    #[error("`stack.toml`: {0}")]
    Invalid(String),
}

#[derive(Deserialize)]
struct Versioned {
    format: u32,
    #[serde(flatten)]
    rest: toml::Table,
}

impl Stack {
    /// Parses and checks the text of a `stack.toml`.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key or another format version, or contradicts itself.
    pub fn parse(text: &str) -> Result<Self, StackError> {
        let Versioned { format, rest } = toml::from_str(text)?;
        if format != FORMAT {
            return Err(StackError::Format { found: format });
        }
        let stack: Self = rest.try_into()?;
        stack.check()?;
        Ok(stack)
    }
}

impl SecretFormat {
    /// Whether `value` has this format.
    pub fn accepts(self, value: &str) -> bool {
        match self {
            Self::Hex64 => value.len() == 64 && value.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STACK: &str = include_str!("../../../cloud-init/stack.toml");

    #[test]
    fn the_stack_of_this_repository_is_valid() {
        let stack = Stack::parse(STACK).unwrap();
        let ports: Vec<_> = stack.ports.iter().map(|port| (port.name.as_str(), port.host)).collect();
        assert_eq!(ports, [("dashboard", 26700), ("backend", 26701)]);
        assert_eq!(stack.secrets.len(), 4);
    }

    #[test]
    fn another_format_is_refused_by_number() {
        let text = STACK.replace("format = 1", "format = 2");
        let error = Stack::parse(&text).unwrap_err().to_string();
        assert_eq!(error, "`stack.toml` has format 2, this program reads format 1");
    }

    #[test]
    fn unknown_keys_and_clashing_ports_are_refused() {
        let unknown = STACK.replace("guest = 8102", "gest = 8102");
        assert!(matches!(Stack::parse(&unknown), Err(StackError::Parse(_))));
        let clash = STACK.replace("host = 26701", "host = 26700");
        let error = Stack::parse(&clash).unwrap_err().to_string();
        assert!(error.contains("`dashboard` and `backend`"), "{error}");
    }

    #[test]
    fn the_network_is_open_unless_the_stack_closes_it() {
        assert_eq!(Stack::parse(STACK).unwrap().network, Network::Open);
        let with = |line: &str| Stack::parse(&STACK.replace("network = \"open\"", line));
        assert_eq!(with("").unwrap().network, Network::Open);
        assert_eq!(with("network = \"closed\"").unwrap().network, Network::Closed);
        assert!(matches!(with("network = \"ajar\""), Err(StackError::Parse(_))));
    }

    #[test]
    fn hooks_are_optional_and_read() {
        assert_eq!(Stack::parse(STACK).unwrap().hooks, Hooks::default());
        let hooks = r#"
            [hooks]
            restart = ["mailer.service"]

            [[hooks.replace]]
            file = "/etc/mailer.conf"
            secret = "cron_secret"
        "#;
        let stack = Stack::parse(&format!("{STACK}{hooks}")).unwrap();
        assert_eq!(stack.hooks.restart, ["mailer.service"]);
        assert_eq!(stack.hooks.replace[0].secret, "cron_secret");
        let json = serde_json::to_string(&stack).unwrap();
        assert_eq!(serde_json::from_str::<Stack>(&json).unwrap(), stack);
    }

    #[test]
    fn a_hook_that_cannot_work_is_refused() {
        let refused =
            |hooks: &str| Stack::parse(&format!("{STACK}\n[hooks]\n{hooks}")).unwrap_err().to_string();
        for unit in ["mailer", "mailer service", ".service", "--now.service", "mailer.timer"] {
            let error = refused(&format!("restart = [\"{unit}\"]"));
            assert!(error.contains("is no unit's full name"), "{error}");
        }
        let replace = |file: &str, secret: &str| {
            refused(&format!("replace = [{{ file = \"{file}\", secret = \"{secret}\" }}]"))
        };
        assert!(replace("etc/mailer.conf", "cron_secret").contains("is not an absolute path"));
        assert!(replace("/etc/mailer.conf", "nobody").contains("\"nobody\", which is no secret"));
        let own = r#"replace = [{ file = "/f", secret = "cron_secret", placeholder = "x" }]"#;
        assert!(refused(own).contains("has a placeholder"));
    }
}
