//! The stack as a whole: services in order, secrets, hooks, requests, the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use compose::Project;
use compose::model::emulator::Network as Reach;
use compose::model::{Service, Spanned};
use image::description::{ServiceFile, StackFile, WarmUp};
use image::stack::exports::Export;
use image::stack::{MachineSize, Network};
use protocol::containers::Container;
use protocol::services::Order;
use protocol::{Hooks, Replace, containers, sql as protocol_sql};

use super::container::Parts;
use super::error::ContainersError;
use super::find::Found;
use super::names::{Names, unit};
use super::native::{self, Natives};
use super::pointer::{Pointer, Result};
use super::ports::Ports;
use super::secrets::{Secrets, unknown_service};
use super::{Composed, Part, sql, unit as units};

/// The machine of a stack that does not say what it needs.
const MACHINE: MachineSize = MachineSize { memory_mib: 2048, cpus: 2, disk_gib: 16 };

/// What the supervisor of a container takes over its control socket. In a resume every process that wakes up takes time from the others,
/// so one without secrets is not ordered to read them again.
fn orders(container: &Container) -> Vec<Order> {
    if container.has_secrets() { vec![Order::Drain, Order::Reload] } else { vec![Order::Drain] }
}

/// Describes the stack of the compose file at `path`.
pub(super) fn compose(
    path: &Path,
    project: &Project,
    natives: &Natives,
    found: &Found,
) -> std::result::Result<Composed, ContainersError> {
    let pointer = Pointer(path);
    let stack = file(pointer, project)?;
    let natives = native::all(pointer, project, natives)?;
    let names = Names::of(pointer, project)?;
    let secrets = Secrets::of(pointer, project)?;
    let taken: BTreeSet<u16> = natives.iter().filter_map(|native| native.port()).collect();
    let ports = Ports::of(pointer, project, &names, &taken)?;
    let context = Parts { pointer, project, names: &names, secrets: &secrets, ports: &ports };

    let mut composed = Composed {
        path: path.to_owned(),
        services: Vec::new(),
        containers: Vec::new(),
        images: BTreeMap::new(),
        files: BTreeMap::new(),
        sql: sql::sql(pointer, project, &natives, &secrets)?,
        disk_gib: project.emulator.machine.disk_gib.clone(),
        limits_memory: project.services.iter().any(|service| service.limits.memory.is_some()),
        warnings: warnings(path, project),
        stack: stack.clone(),
    };
    for native in &natives {
        composed.files.extend(native.files(&secrets)?);
        let own = native.replaced.into_iter().flat_map(|service| ports.of_service(&service.name));
        let ports = own.map(|published| published.port.clone()).collect();
        composed.services.push(Part::Native { name: native.name.to_owned(), ports });
    }
    let services = in_order(project);
    if services.is_empty() {
        let instead = "describe a stack without containers by a `stack.toml`";
        return Err(pointer.file("services", "no service is a container", instead).into());
    }
    for (number, service) in services.into_iter().enumerate() {
        let Some(image) = found.0.get(&service.name) else { continue };
        let container = context.container(number, service, image)?;
        let text = units::text(pointer, project, &names, service, container.stop_seconds)?;
        let mut description = description(&context, service, &container)?;
        if number == 0 {
            // They belong to the stack, which has no place of its own for them.
            description.secrets.clone_from(&secrets.list);
            description.hooks = hooks(&context)?;
            description.warm_up.extend(requests(&context)?);
        }
        composed.services.push(Part::Container {
            name: container.name.clone(),
            file: Box::new(description),
            unit: text,
        });
        composed.images.insert(container.name.clone(), image.clone());
        composed.containers.push(container);
    }
    if composed.sql.is_some() {
        composed.services.push(Part::Native { name: protocol_sql::SERVICE.to_owned(), ports: Vec::new() });
    }
    let names = composed.services.iter().map(|part| part.name().to_owned()).collect();
    composed.stack = StackFile::new(stack.name, stack.network.unwrap_or_default(), stack.machine, names)
        .map_err(|problem| pointer.stack(problem))?;
    composed.stack.exports = exports(pointer, project)?;
    Ok(composed)
}

/// The stack without its services.
fn file(pointer: Pointer<'_>, project: &Project) -> std::result::Result<StackFile, ContainersError> {
    let said = &project.emulator;
    let network = match said.network.as_ref().map(|network| network.value) {
        Some(Reach::Closed) => Network::Closed,
        Some(Reach::Open) | None => Network::Open,
    };
    let size = &said.machine;
    let machine = MachineSize {
        memory_mib: size.memory_mib.as_ref().map_or(MACHINE.memory_mib, |size| size.value),
        cpus: size.cpus.as_ref().map_or(MACHINE.cpus, |cpus| cpus.value),
        disk_gib: size.disk_gib.as_ref().map_or(MACHINE.disk_gib, |size| size.value),
    };
    let name = said.name.as_ref().map_or_else(|| project.name.clone(), |name| name.value.clone());
    StackFile::new(name, network, machine, Vec::new()).map_err(|problem| pointer.stack(problem))
}

/// The services that are containers, each after those that it depends on, and otherwise in the order of the file.
fn in_order(project: &Project) -> Vec<&Service> {
    let mut ordered: Vec<&Service> = Vec::new();
    let mut left: Vec<&Service> =
        project.services.iter().filter(|service| service.emulator.native.is_none()).collect();
    while !left.is_empty() {
        let waits = |service: &&Service| {
            let on = |name: &String| left.iter().any(|other| other.name == *name);
            service.depends_on.iter().any(|dependency| on(&dependency.service))
        };
        // The file has no circles, so that there always is one.
        let next = left.iter().position(|service| !waits(service)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// The description of a container's service.
fn description(context: &Parts<'_>, service: &Service, container: &Container) -> Result<ServiceFile> {
    let own = context.ports.of_service(&service.name);
    let ports: Vec<_> = own.map(|published| published.port.clone()).collect();
    let mut warm_up = Vec::new();
    for path in &service.emulator.warm_up {
        let Some(port) = ports.first() else {
            let reason = "the service publishes no port to ask";
            return Err(context.pointer.value(path, reason, "add `ports`, or remove the key"));
        };
        warm_up.push(WarmUp { port: port.name.clone(), path: path.value.clone() });
    }
    Ok(ServiceFile {
        unit: unit(context.names.name(service)),
        // A job has ended when orders are given.
        orders: if units::is_job(context.project, service) { Vec::new() } else { orders(container) },
        ports,
        warm_up,
        ..ServiceFile::default()
    })
}

fn requests(context: &Parts<'_>) -> Result<Vec<WarmUp>> {
    let requests = context.project.emulator.warm_up.iter().map(|request| {
        let port = context.ports.name(request.port.as_ref(), &request.path)?;
        Ok(WarmUp { port, path: request.path.value.clone() })
    });
    requests.collect()
}

fn hooks(context: &Parts<'_>) -> Result<Hooks> {
    let hooks = &context.project.emulator.hooks;
    let named = |name: &Spanned<String>| {
        context.project.service(&name.value).ok_or_else(|| unknown_service(context.pointer, name))
    };
    let restart = hooks.restart.iter().map(|name| Ok(unit(context.names.name(named(name)?))));
    let replace = hooks.replace.iter().map(|replace| {
        let service = named(&replace.service)?;
        if service.emulator.native.is_some() {
            let reason = "a native service has no files of an image";
            return Err(context.pointer.value(&replace.service, reason, "name a service with an image"));
        }
        let (dir, written) = (containers::WRITABLE, containers::WRITTEN);
        let file = format!("{dir}/{}/{written}{}", context.names.name(service), replace.file.value);
        Ok(Replace { file, secret: context.secrets.name(&replace.secret)?, placeholder: String::new() })
    });
    Ok(Hooks { restart: restart.collect::<Result<_>>()?, replace: replace.collect::<Result<_>>()? })
}

fn exports(pointer: Pointer<'_>, project: &Project) -> Result<Vec<Export>> {
    let exports = project.emulator.exports.iter().map(|export| {
        let value = export.value.value.parse().map_err(|error| {
            let error: image::stack::template::InvalidTemplate = error;
            pointer.value(&export.value, error.to_string(), "correct the placeholder")
        })?;
        let public = export.public.iter().map(|prefix| prefix.value.clone()).collect();
        Ok(Export { name: export.name.value.clone(), value, public, project: None })
    });
    exports.collect()
}

/// Variables without a value, as lines for people.
fn warnings(path: &Path, project: &Project) -> Vec<String> {
    let line = |warning: &compose::model::Warning| {
        let (place, key, name) = (warning.place, &warning.key, &warning.variable);
        format!(
            "{}:{place}: `{key}`: the variable `{name}` is not set: nothing is put in its place",
            path.display()
        )
    };
    project.warnings.iter().map(line).collect()
}
