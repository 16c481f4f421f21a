//! Names: a service of a compose file becomes a unit, a directory in `/run` and a flag, which have fewer characters.

use std::collections::BTreeMap;

use compose::model::{Project, Service};

use super::pointer::{Pointer, Result};

/// Services of the platform, whose units have the same form.
const RESERVED: [&str; 7] = ["agent", "config", "containers", "ready", "seal", "sql", "provision"];

/// The names of a project's services in the machine.
#[derive(Debug)]
pub(super) struct Names(BTreeMap<String, String>);

impl Names {
    /// Gives every service that is a container its own name, and others the name of the native service.
    pub(super) fn of(pointer: Pointer<'_>, project: &Project) -> Result<Self> {
        let mut names: BTreeMap<String, String> = BTreeMap::new();
        for service in &project.services {
            let name = match &service.emulator.native {
                Some(native) => native.value.clone(),
                None => plain(&service.name),
            };
            if service.emulator.native.is_none() && RESERVED.contains(&name.as_str()) {
                let reason = format!("`{name}` is the name of a service of every machine");
                return Err(pointer.service(service, "", reason, "choose another name"));
            }
            if name.is_empty() || name.starts_with('-') {
                let reason = "a machine has no such name for a service";
                return Err(pointer.service(service, "", reason, "begin it with a letter or digit"));
            }
            if let Some((other, _)) = names.iter().find(|(_, taken)| **taken == name) {
                let reason = format!("`{other}` is called `{name}` in the machine already");
                return Err(pointer.service(service, "", reason, "choose another name for one of them"));
            }
            names.insert(service.name.clone(), name);
        }
        for native in &project.emulator.services {
            if names.values().any(|name| *name == native.value) {
                let reason = format!("a service of the file is called `{}` already", native.value);
                return Err(pointer.value(native, reason, "remove one of them"));
            }
        }
        Ok(Self(names))
    }

    /// The name of a service of the project.
    pub(super) fn get(&self, service: &str) -> Option<&str> {
        self.0.get(service).map(String::as_str)
    }

    /// The name of this service, which is one of the project.
    pub(super) fn name<'a>(&'a self, service: &'a Service) -> &'a str {
        self.get(&service.name).unwrap_or(&service.name)
    }
}

/// The unit of the service of this name.
pub(super) fn unit(name: &str) -> String {
    format!("stack-{name}.service")
}

/// All names by which others reach a service, its own first.
pub(super) fn aliases(service: &Service) -> Vec<String> {
    let aliases = service.networks.iter().flat_map(|membership| &membership.aliases);
    let mut names = vec![service.name.clone()];
    for name in service.container_name.iter().chain(aliases) {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The name with dashes for what a unit's name has no room for.
fn plain(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars().map(letter).collect()
}
