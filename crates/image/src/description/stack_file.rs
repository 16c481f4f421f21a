//! `stack.toml`: which services a stack consists of, and the machine that runs them.

use serde::Deserialize;

use super::Problem;
use crate::stack::exports::Export;
use crate::stack::{MachineSize, Network, check};

/// Version of the description's format that this program reads.
pub const FORMAT: u32 = 2;

/// What `stack.toml` says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackFile {
    format: u32,
    /// Name of the stack, and of its machines in their network.
    pub name: String,
    /// What its machines may reach outside of themselves.
    pub network: Option<Network>,
    /// The machine that runs it.
    pub machine: MachineSize,
    /// Names of its services, in the order in which they are started.
    pub services: Vec<String>,
    /// Environment variables that programs of developers get, in addition to those of the services.
    #[serde(default)]
    pub exports: Vec<Export>,
}

#[derive(Deserialize)]
struct Version {
    format: u32,
}

impl StackFile {
    /// A stack without exports that is described elsewhere than in a `stack.toml`.
    ///
    /// # Errors
    /// When the name, the size of the machine or the name of a service is outside its range.
    pub fn new(
        name: String,
        network: Network,
        machine: MachineSize,
        services: Vec<String>,
    ) -> Result<Self, Problem> {
        let file =
            Self { format: FORMAT, name, network: Some(network), machine, services, exports: Vec::new() };
        file.check()?;
        Ok(file)
    }

    /// Parses and checks the text of a `stack.toml`.
    ///
    /// # Errors
    /// When the text is not TOML, has an unknown key or another format version, or a value outside its range.
    pub fn parse(text: &str) -> Result<Self, Problem> {
        // First, since the rest of another format is another.
        let Version { format } = toml::from_str(text)?;
        if format != FORMAT {
            return Err(Problem::Format { found: format });
        }
        let file: Self = toml::from_str(text)?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<(), Problem> {
        let Self { name, machine, services, .. } = self;
        let wrong = |key| move |reason| Problem::Value { key, reason };
        check::name(name).map_err(wrong("name"))?;
        check::machine(machine).map_err(wrong("machine"))?;
        for (index, name) in services.iter().enumerate() {
            service_name(name).map_err(wrong("services"))?;
            if services[..index].contains(name) {
                return Err(wrong("services")(format!("`{name}` is listed twice")));
            }
        }
        Ok(())
    }
}

/// Whether `name` can be part of the path of a control socket and of a directory.
fn service_name(name: &str) -> Result<(), String> {
    check::name(name)?;
    let known = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.bytes().all(known) {
        Ok(())
    } else {
        Err(format!("{name:?} is not a valid name of a service: lowercase letters, digits and `-`"))
    }
}
