//! Native services: what of a compose file's service becomes settings of the one that replaces it.

mod known;
mod options;

use std::collections::BTreeMap;

use compose::model::{Project, Service};
use image::description::{DatabaseUse, NativeUse};
use protocol::containers::GATEWAY;

use super::names::unit;
use super::pointer::{Pointer, Result};
use super::secrets::{Secrets, Text};
use super::unit::NETWORK;

pub use known::Natives;

/// The directories of units, for every boot and for direct boots.
const UNITS: [&str; 2] = ["usr/lib/systemd/system", "usr/lib/stack/direct"];

/// A native service of a stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Native<'a> {
    pointer: Pointer<'a>,
    /// Its name.
    pub(super) name: &'a str,
    /// How containers use it, if they can.
    described: Option<&'a NativeUse>,
    /// The service of the compose file that it replaces, if it replaces one.
    pub(super) replaced: Option<&'a Service>,
}

/// A database of a native service, and who it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Database {
    /// The server's port.
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    pub(super) name: String,
}

/// The native services of a project: those of the stack, then those that replace services of the file.
pub(super) fn all<'a>(
    pointer: Pointer<'a>,
    project: &'a Project,
    known: &'a Natives,
) -> Result<Vec<Native<'a>>> {
    let native = |name: &'a str, replaced| Native { pointer, name, described: known.get(name), replaced };
    let mut natives: Vec<_> =
        project.emulator.services.iter().map(|name| native(&name.value, None)).collect();
    for service in &project.services {
        let Some(name) = &service.emulator.native else { continue };
        if known.get(&name.value).is_none() {
            let reason = format!("no service `{}` can replace one of a compose file", name.value);
            return Err(pointer.value(name, reason, format!("name one that can: {}", known.names())));
        }
        natives.push(native(&name.value, Some(service)));
    }
    Ok(natives)
}

impl Native<'_> {
    /// The port that it has in the network of containers, if it is in there.
    pub(super) fn port(self) -> Option<u16> {
        self.described.map(|described| described.port)
    }

    /// The files that make it what the service says.
    pub(super) fn files(self, secrets: &Secrets<'_>) -> Result<BTreeMap<String, String>> {
        let mut files = BTreeMap::new();
        let Some(described) = self.described else { return Ok(files) };
        let mut add = |path: &str, text: String| {
            files.insert(path.trim_start_matches('/').to_owned(), text);
        };
        let address = self.address();
        if let Some(service) = self.replaced {
            self.check(service)?;
        }
        if let (Some(database), Some(said)) = (&described.database, self.database(secrets)?) {
            let Database { user, password, name, .. } = said;
            let pairs = [(&database.user, user), (&database.password, password), (&database.name, name)];
            let role = pairs.map(|(variable, value)| format!("{variable}=\"{value}\"\n")).concat();
            add(&database.role, role);
            add(&database.access.file, database.access.text(&address, &[]));
        }
        let options = self.options(described, secrets)?;
        add(&described.settings.file, described.settings.text(&address, &options));
        let drop_in =
            format!("[Unit]\n# It listens in the network of containers.\nWants={NETWORK}\nAfter={NETWORK}\n");
        for dir in UNITS {
            add(&format!("{dir}/{}.d/containers.conf", unit(self.name)), drop_in.clone());
        }
        Ok(files)
    }

    /// Refuses what has no meaning without an image.
    fn check(self, service: &Service) -> Result<()> {
        let is_other_port = |port: u16| self.port().is_some_and(|own| own != port);
        let wrong = if !service.configs.is_empty() {
            Some(("configs", "remove the key, or use the image"))
        } else if !service.secrets.is_empty() {
            Some(("secrets", "remove the key, or use the image"))
        } else if service.entrypoint.is_some() {
            Some(("entrypoint", "remove the key, or use the image"))
        } else if service.ports.iter().any(|port| is_other_port(port.target)) {
            Some(("ports", "publish the service's own port only"))
        } else {
            None
        };
        match wrong {
            Some((key, instead)) => {
                let reason = format!("the native `{}` cannot do this", self.name);
                Err(self.pointer.service(service, key, reason, instead))
            }
            None => Ok(()),
        }
    }

    /// The address that it listens on: where the host reaches it too, on every one.
    fn address(self) -> String {
        let is_published = self.replaced.is_some_and(|service| !service.ports.is_empty());
        if is_published { "0.0.0.0".to_owned() } else { GATEWAY.to_string() }
    }

    /// The database that the variables of the image describe, if it is a database server.
    pub(super) fn database(self, secrets: &Secrets<'_>) -> Result<Option<Database>> {
        let Some(NativeUse { title, port, database: Some(database), .. }) = self.described else {
            return Ok(None);
        };
        let Some(service) = self.replaced else {
            let reason = "it has no role and no database that containers could use";
            let instead = format!(
                "write a service with `x-emulator: {{native: {}}}` and its `environment` instead",
                self.name
            );
            return Err(self.pointer.file("x-emulator.services", reason, instead));
        };
        let DatabaseUse { prefix, user, password, name, default_user, .. } = database;
        let is_unknown =
            |variable: &&String| variable.starts_with(prefix) && ![user, password, name].contains(variable);
        if let Some(variable) = service.environment.keys().find(is_unknown) {
            let reason = format!("the native {title} does not know this variable");
            let key = format!("environment.{variable}");
            return Err(self.pointer.service(service, &key, reason, "remove it"));
        }
        let user = self.variable(service, secrets, user)?.unwrap_or_else(|| default_user.clone());
        let name = self.variable(service, secrets, name)?.unwrap_or_else(|| user.clone());
        let password = self.variable(service, secrets, password)?.ok_or_else(|| {
            let instead = format!("add `{password}`");
            self.pointer.service(service, "environment", "has no password", instead)
        })?;
        Ok(Some(Database { port: *port, user, password, name }))
    }

    /// A variable whose value can stand in a file that a shell reads.
    fn variable(self, service: &Service, secrets: &Secrets<'_>, name: &str) -> Result<Option<String>> {
        let Some(Some(value)) = service.environment.get(name) else { return Ok(None) };
        let wrong = |reason: &str, instead: &str| {
            Err(self.pointer.service(service, &format!("environment.{name}"), reason, instead))
        };
        if secrets.text(value) != Ok(Text::Plain(value.clone())) {
            return wrong(
                "a native service does not take secrets of a session",
                "use a fixed value: only services of this machine reach it",
            );
        }
        if value.is_empty() || value.contains(|c: char| c.is_control() || "\"\\$`".contains(c)) {
            return wrong(
                "is empty, or has a control character or one of `\"`, `\\`, `$` and a backtick",
                "choose another value",
            );
        }
        Ok(Some(value.clone()))
    }

    /// The lines of settings that `command` describes.
    fn options(self, described: &NativeUse, secrets: &Secrets<'_>) -> Result<Vec<String>> {
        let Some((service, words)) =
            self.replaced.and_then(|service| Some((service, service.command.as_ref()?)))
        else {
            return Ok(Vec::new());
        };
        let is_fixed = |word: &&String| secrets.text(word) == Ok(Text::Plain((*word).clone()));
        let lines = match words.iter().find(|word| !is_fixed(word)) {
            Some(word) => Err(word.as_str()),
            None => options::lines(&described.command, words),
        };
        lines.map_err(|word| {
            let reason = format!("the native `{}` does not take `{word}`", self.name);
            self.pointer.service(service, "command", reason, options::instead(&described.command))
        })
    }
}
