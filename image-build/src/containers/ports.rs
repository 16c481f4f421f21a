//! Ports: which port of the machine leads to which port of a container, and which of the host to that.

use std::collections::BTreeSet;

use compose::model::emulator::{PortReference, PortSettings};
use compose::model::{Project, Service, Spanned};
use image::stack::Port;
use protocol::exec;

use super::names::Names;
use super::pointer::{Pointer, Result};

/// Name of the main port.
pub(super) const BACKEND: &str = "backend";

/// The first port of the host that a program may have without rights of its own (Linux, `ip_unprivileged_port_start`).
const FIRST_UNPRIVILEGED: u16 = 1024;

/// Ports of the host that the built-in stack has, so that both can run at the same time.
const BUILT_IN: [u16; 2] = [26_700, 26_701];

/// Where ports of the host begin that the file does not choose.
const FIRST_CHOSEN: u16 = 26_710;

/// Where ports of the machine begin that stand for those which are taken.
const FIRST_GUEST: u16 = 20_000;

/// A published port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Published {
    /// The service of the compose file.
    pub(super) service: String,
    /// The port in the container.
    pub(super) container: u16,
    /// What the host sees.
    pub(super) port: Port,
}

/// All published ports of a project, in the order of the file.
#[derive(Debug)]
pub(super) struct Ports<'a> {
    pointer: Pointer<'a>,
    project: &'a Project,
    /// In the order of the file.
    pub(super) list: Vec<Published>,
}

impl<'a> Ports<'a> {
    /// Gives every published port its places. Ports of the machine in `taken` belong to native services.
    pub(super) fn of(
        pointer: Pointer<'a>,
        project: &'a Project,
        names: &Names,
        taken: &BTreeSet<u16>,
    ) -> Result<Self> {
        let mut ports = Self { pointer, project, list: Vec::new() };
        let backend = ports.backend()?;
        let mut guests: BTreeSet<u16> = taken.iter().copied().chain([exec::PORT]).collect();
        let mut hosts: BTreeSet<u16> = BUILT_IN.into();
        hosts.extend(project.services.iter().flat_map(chosen));
        for service in &project.services {
            let settings = settings(pointer, service)?;
            for (index, port) in service.ports.iter().enumerate() {
                // A port of the container that is published twice has two ports of the machine.
                let own = settings.iter().find(|own| own.port.value == port.target);
                let is_backend = backend == Some((service.name.as_str(), index));
                let name = match own.and_then(|own| own.name.as_ref()) {
                    Some(name) => name.value.clone(),
                    None if is_backend => BACKEND.to_owned(),
                    None => port.name.clone().unwrap_or_else(|| default_name(names, service, port.target)),
                };
                let is_native = service.emulator.native.is_some();
                let guest = if is_native { port.target } else { free(&mut guests, port.target, FIRST_GUEST) };
                let published = port.published.as_ref().map(|published| published.value);
                let host = published.filter(|port| is_usable(*port));
                let first = (index == 0).then_some(service.emulator.health.as_ref()).flatten();
                let health = own.and_then(|own| own.health.as_ref()).or(first);
                ports.list.push(Published {
                    service: service.name.clone(),
                    container: port.target,
                    port: Port {
                        guest,
                        host: host.unwrap_or_else(|| free(&mut hosts, FIRST_CHOSEN, FIRST_CHOSEN)),
                        env: own
                            .and_then(|own| own.env.as_ref())
                            .map_or_else(|| variable(&name), |env| env.value.clone()),
                        health: health.map(|path| path.value.clone()),
                        name,
                    },
                });
            }
        }
        ports.has_health()?;
        Ok(ports)
    }

    /// The ports of a service.
    pub(super) fn of_service(&self, service: &str) -> impl Iterator<Item = &Published> {
        self.list.iter().filter(move |published| published.service == service)
    }

    /// The name of the port that a reference means; without one: of the main port.
    pub(super) fn name(
        &self,
        reference: Option<&Spanned<PortReference>>,
        user: &Spanned<String>,
    ) -> Result<String> {
        let Some(reference) = reference else {
            let is_main = |published: &&Published| published.port.name == BACKEND;
            let main = self.list.iter().find(is_main).ok_or_else(|| {
                let reason = "no port is called `backend`";
                self.pointer.value(user, reason, "add `x-emulator.backend`, or name the port of this request")
            })?;
            return Ok(main.port.name.clone());
        };
        let PortReference { service, port } = &reference.value;
        let mut own =
            self.of_service(service).filter(|published| port.is_none_or(|port| port == published.container));
        let found = own.next().ok_or_else(|| self.unknown(reference))?;
        Ok(found.port.name.clone())
    }

    fn unknown(&self, reference: &Spanned<PortReference>) -> compose::ComposeError {
        let PortReference { service, port } = &reference.value;
        let reason = match (self.project.service(service), port) {
            (None, _) => format!("there is no service `{service}`"),
            (Some(_), None) => format!("the service `{service}` publishes no port"),
            (Some(_), Some(port)) => format!("the service `{service}` does not publish its port {port}"),
        };
        self.pointer.value(reference, reason, "name a service of this file with `ports`")
    }

    /// Service and number of the main port: the one that the file names, or the only one of the only service that has ports.
    fn backend(&self) -> Result<Option<(&'a str, usize)>> {
        if let Some(reference) = &self.project.emulator.backend {
            let PortReference { service, port } = &reference.value;
            let unknown = || self.unknown(reference);
            let service = self.project.service(service).ok_or_else(unknown)?;
            let mut ports = service.ports.iter();
            let index =
                ports.position(|own| port.is_none_or(|port| port == own.target)).ok_or_else(unknown)?;
            return Ok(Some((&service.name, index)));
        }
        let mut with_ports = self.project.services.iter().filter(|service| !service.ports.is_empty());
        let only = with_ports.next().filter(|_| with_ports.next().is_none());
        Ok(only.map(|service| (service.name.as_str(), 0)))
    }

    /// Checks that something tells when the stack is ready.
    fn has_health(&self) -> Result<()> {
        if self.list.iter().any(|published| published.port.health.is_some()) {
            return Ok(());
        }
        let Some(first) = self.list.first() else {
            let reason = "no service publishes a port, so that the host cannot reach the stack";
            return Err(self.pointer.file(
                "services",
                reason,
                "add `ports` to the service that programs talk to",
            ));
        };
        let key = format!("services.{}", first.service);
        let service = self.project.service(&first.service);
        let error = self.pointer.file(
            &key,
            "no port has a health path, so that readiness cannot be checked",
            "add `x-emulator: {health: /PATH}` to this service: a path that answers 200 when the stack is ready",
        );
        Err(compose::ComposeError { place: service.map(|service| service.place), ..error })
    }
}

/// What the file says about ports of a service, each of which is published.
fn settings<'s>(pointer: Pointer<'_>, service: &'s Service) -> Result<&'s [PortSettings]> {
    let is_published = |port: u16| service.ports.iter().any(|own| own.target == port);
    if let Some(unknown) = service.emulator.ports.iter().find(|own| !is_published(own.port.value)) {
        let reason = format!("the service does not publish its port {}", unknown.port.value);
        return Err(pointer.value(&unknown.port, reason, "add it to `ports`, or remove the key"));
    }
    if let Some(health) = service.emulator.health.as_ref().filter(|_| service.ports.is_empty()) {
        let reason = "the service publishes no port to ask";
        return Err(pointer.value(health, reason, "add `ports`, or remove the key and use `healthcheck`"));
    }
    Ok(&service.emulator.ports)
}

/// The ports of the host that the file chooses, and that a program may have.
fn chosen(service: &Service) -> impl Iterator<Item = u16> {
    let published = service.ports.iter().filter_map(|port| port.published.as_ref());
    published.map(|published| published.value).filter(|port| is_usable(*port))
}

fn is_usable(host: u16) -> bool {
    host >= FIRST_UNPRIVILEGED && !BUILT_IN.contains(&host)
}

/// Takes `wanted`, or else the first port from `first` on that is not taken.
fn free(taken: &mut BTreeSet<u16>, wanted: u16, first: u16) -> u16 {
    let mut candidates = std::iter::once(wanted).chain(first..=u16::MAX);
    let port = candidates.find(|port| !taken.contains(port)).unwrap_or(wanted);
    taken.insert(port);
    port
}

fn default_name(names: &Names, service: &Service, port: u16) -> String {
    let name = names.name(service);
    if service.ports.len() == 1 { name.to_owned() } else { format!("{name}-{port}") }
}

/// The variable that overrides the port of the host.
fn variable(name: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("EMULATOR_{}_PORT", name.chars().map(letter).collect::<String>())
}
