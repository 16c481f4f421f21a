//! How maintainers describe a stack: a `stack.toml` that lists services, and the `service.toml` of each of them.
//!
//! Here the parts become one whole: what the image's manifest says about the stack, and what drives it inside of the guest. Nothing
//! here reads a directory.

mod native_use;
mod service_file;
mod stack_file;

use protocol::Hooks;
use protocol::services::{self as guest, Services};

use crate::stack::exports::{Export, Known};
use crate::stack::{Network, Service, Stack, check};

pub use native_use::{Command, DatabaseUse, Lines, NativeUse, OptionForm};
pub use service_file::{ServiceFile, WarmUp};
pub use stack_file::{FORMAT, StackFile};

/// A stack with all of its services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// What the image's manifest says about it.
    pub stack: Stack,
    /// What everything in the guest is driven from, in the order in which services are started.
    pub guest: Services,
    /// Debian packages that the services add to the base, as they are written: `{arch}` is Debian's name of the architecture.
    pub packages: Vec<String>,
    /// Settings of the image for all services: variables and their values.
    pub env: Vec<(String, String)>,
    /// Units that a start does not wait for.
    pub late: Vec<String>,
    /// Whether a service is a program of the built-in product.
    pub product: bool,
    /// Services that are parts of another one's process, which the guest's program then includes.
    pub parts: Vec<String>,
}

/// What is wrong with one of the files.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Not TOML, or not of the expected shape. The message shows the line.
    #[error("{0}")]
    Parse(Box<toml::de::Error>),
    /// Written for another version of this program.
    #[error("it has format {found}, this program reads format {FORMAT}")]
    Format {
        /// The format that the file claims.
        found: u32,
    },
    /// The value of a key is outside its range, or contradicts another one.
    #[error("`{key}`: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// What is wrong with its value.
        reason: String,
    },
}

impl From<toml::de::Error> for Problem {
    fn from(error: toml::de::Error) -> Self {
        Self::Parse(Box::new(error))
    }
}

/// The files are valid, and do not make a stack together.
#[derive(Debug, thiserror::Error)]
#[error("{problem}")]
pub struct Mismatch {
    /// The service whose file has the key; `None` is `stack.toml`.
    pub service: Option<String>,
    /// What is wrong with it.
    pub problem: Problem,
}

impl Mismatch {
    fn of(service: Option<&str>, key: &'static str) -> impl FnOnce(String) -> Self {
        move |reason| Self { service: service.map(str::to_owned), problem: Problem::Value { key, reason } }
    }
}

impl Description {
    /// Merges the description of a stack with those of its services, by name and in the order of `stack.toml`.
    ///
    /// # Errors
    /// When two of them claim the same port, secret, unit or variable, or a hook names a secret that no service has.
    pub fn merge(file: StackFile, services: &[(String, ServiceFile)]) -> Result<Self, Mismatch> {
        let stack = Stack {
            name: file.name.clone(),
            machine: file.machine,
            ports: Vec::new(),
            secrets: Vec::new(),
            services: Vec::new(),
            hooks: Hooks::default(),
            network: file.network.unwrap_or(Network::Open),
            exports: Vec::new(),
            project: None,
        };
        let guest = Services { name: file.name, services: Vec::new() };
        let mut merged = Self {
            stack,
            guest,
            packages: Vec::new(),
            env: Vec::new(),
            late: Vec::new(),
            product: services.iter().any(|(_, service)| service.product),
            parts: Vec::new(),
        };
        for (name, service) in services {
            merged.add(name, service)?;
        }
        // They may name secrets and variables of any service.
        for (name, service) in services {
            merged.add_hooks(name, service)?;
            merged.add_env(name, service)?;
            merged.add_project(name, service)?;
        }
        for (name, service) in services {
            merged.add_warm_up(name, service)?;
        }
        merged.add_exports(None, &file.exports)?;
        for (name, service) in services {
            merged.add_exports(Some(name), &service.exports)?;
        }
        check::exports(&merged.stack).map_err(Mismatch::of(None, "exports"))?;
        // What a user sees is sorted by what they type.
        merged.stack.ports.sort_by_key(|port| port.host);
        merged.stack.check().map_err(|invalid| Mismatch::of(None, "services")(invalid.0))?;
        Ok(merged)
    }

    /// Adds a service. Checked with all before it, so that it is the second of two that is reported.
    fn add(&mut self, name: &str, service: &ServiceFile) -> Result<(), Mismatch> {
        let ServiceFile { unit, packages, orders, ports, secrets, late, .. } = service;
        let wrong = |key| Mismatch::of(Some(name), key);
        let stack = &mut self.stack;
        if service.part_of.is_none() {
            stack.services.push(Service { name: name.to_owned(), unit: unit.clone(), container: false });
        }
        check::services(&stack.services).map_err(wrong("unit"))?;
        let expected = format!("stack-{name}.service");
        if service.native.is_some() && *unit != expected {
            let reason = format!("containers wait for the unit `{expected}`, and this is `{unit}`");
            return Err(wrong("unit")(reason));
        }
        stack.ports.extend_from_slice(ports);
        check::ports(&stack.ports).map_err(wrong("ports"))?;
        stack.secrets.extend_from_slice(secrets);
        check::secrets(&stack.secrets).map_err(wrong("secrets"))?;
        self.packages.extend_from_slice(packages);
        if *late {
            self.late.push(unit.clone());
        }
        let ports = ports.iter().map(|port| guest::Port { guest: port.guest, health: port.health.clone() });
        if let Some(process) = &service.part_of {
            self.parts.push(name.to_owned());
            self.process(name, process)?.ports.extend(ports);
            return Ok(());
        }
        self.guest.services.push(guest::Service {
            name: name.to_owned(),
            unit: unit.clone(),
            orders: orders.clone(),
            ports: ports.collect(),
            warm_up: Vec::new(),
        });
        Ok(())
    }

    /// The service that has the process of `name`.
    fn process(&mut self, name: &str, process: &str) -> Result<&mut guest::Service, Mismatch> {
        let found = self.guest.services.iter_mut().find(|service| service.name == process);
        found.ok_or_else(|| {
            Mismatch::of(Some(name), "partOf")(format!("the stack lists no `{process}` before it"))
        })
    }

    fn add_hooks(&mut self, name: &str, service: &ServiceFile) -> Result<(), Mismatch> {
        let hooks = &mut self.stack.hooks;
        hooks.replace.extend_from_slice(&service.hooks.replace);
        hooks.restart.extend_from_slice(&service.hooks.restart);
        check::hooks(hooks, &self.stack.secrets).map_err(Mismatch::of(Some(name), "hooks"))
    }

    /// Adds the requests of a service to those of its process.
    fn add_warm_up(&mut self, name: &str, service: &ServiceFile) -> Result<(), Mismatch> {
        let wrong = Mismatch::of(Some(name), "warmUp");
        let request = |WarmUp { port, path }: &WarmUp| {
            check::path(&format!("the path for port `{port}`"), path)?;
            let known = self.stack.ports.iter().find(|known| known.name == *port);
            let known = known.ok_or_else(|| format!("there is no port {port:?}"))?;
            Ok(guest::WarmUp { port: known.guest, path: path.clone() })
        };
        let requests: Result<Vec<_>, String> = service.warm_up.iter().map(request).collect();
        let requests = requests.map_err(wrong)?;
        let process = service.part_of.as_deref().unwrap_or(name);
        self.process(name, process)?.warm_up.extend(requests);
        Ok(())
    }

    fn add_project(&mut self, name: &str, service: &ServiceFile) -> Result<(), Mismatch> {
        match (&self.stack.project, &service.project) {
            (_, None) => {}
            (None, Some(project)) => self.stack.project = Some(project.clone()),
            (Some(_), Some(_)) => {
                let reason = "another service is asked for projects already".to_owned();
                return Err(Mismatch::of(Some(name), "project")(reason));
            }
        }
        Ok(())
    }

    /// Adds the variables of a service, or of `stack.toml`.
    fn add_exports(&mut self, service: Option<&str>, exports: &[Export]) -> Result<(), Mismatch> {
        self.stack.exports.extend_from_slice(exports);
        let ports: Vec<_> = self.stack.ports.iter().map(|port| port.name.as_str()).collect();
        let known = Known { ports: &ports, secrets: &self.stack.secrets };
        known.exports(&self.stack.exports).map_err(Mismatch::of(service, "exports"))
    }

    fn add_env(&mut self, name: &str, service: &ServiceFile) -> Result<(), Mismatch> {
        for (variable, value) in &service.env {
            let taken = self.env.iter().any(|(known, _)| known == variable)
                || self.stack.secrets.iter().any(|secret| secret.env == *variable);
            if taken {
                let reason = format!("`{variable}` is a variable of another service or of a secret");
                return Err(Mismatch::of(Some(name), "env")(reason));
            }
            self.env.push((variable.clone(), value.clone()));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
