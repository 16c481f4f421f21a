//! What services must not contradict in each other: ports of the host, the order of starts, names.

use std::collections::HashMap;
use std::path::Path;

use super::At;
use crate::error::{ComposeError, Result};
use crate::model::{Dependency, Service, Spanned};

/// What each service depends on, in the order of the services.
pub(super) type Dependencies = Vec<Vec<Spanned<Dependency>>>;

/// Whether every service that another one needs is there, and none waits for itself. Removes those that are not there and not needed.
pub(super) fn dependencies(
    file: &Path,
    services: &mut [Service],
    dependencies: &[Vec<Spanned<Dependency>>],
    inactive: &[&str],
) -> Result<()> {
    let names: Vec<String> = services.iter().map(|service| service.name.clone()).collect();
    let place = |dependency: &Spanned<Dependency>, reason: String| {
        ComposeError::new(file, Some(dependency.place), &dependency.key, reason)
    };
    for dependency in dependencies.iter().flatten().filter(|dependency| dependency.value.required) {
        let name = &dependency.value.service;
        if inactive.contains(&name.as_str()) {
            let error =
                place(dependency, format!("the service `{name}` belongs to profiles that are not active"));
            return Err(error.instead("activate one of them, or write `required: false`"));
        }
        if !names.contains(name) {
            let error = place(dependency, format!("there is no service `{name}`"));
            return Err(error.instead("use the name of a service of this file"));
        }
    }
    for service in services.iter_mut() {
        service.depends_on.retain(|dependency| names.contains(&dependency.service));
    }
    let index = |name: &str| names.iter().position(|other| other == name);
    let edges: Vec<Vec<usize>> = services
        .iter()
        .map(|service| {
            service.depends_on.iter().filter_map(|dependency| index(&dependency.service)).collect()
        })
        .collect();
    let Some(circle) = circle(&edges) else { return Ok(()) };
    let path: Vec<_> = circle.iter().map(|index| format!("`{}`", names[*index])).collect();
    let first =
        dependencies[circle[0]].iter().find(|dependency| dependency.value.service == names[circle[1]]);
    let reason = format!("services wait for each other: {}", path.join(", "));
    let error = first.map_or_else(
        || ComposeError::new(file, None, "services", reason.clone()),
        |dependency| place(dependency, reason.clone()),
    );
    Err(error.instead("remove one of these dependencies"))
}

/// A way that leads back to where it begins, which is its first and last step. Takes the edges away that lead nowhere, one by one.
fn circle(edges: &[Vec<usize>]) -> Option<Vec<usize>> {
    let mut left: Vec<bool> = vec![true; edges.len()];
    let next = |left: &[bool], from: usize| edges[from].iter().copied().find(|to| left[*to]);
    while let Some(done) = (0..edges.len()).find(|from| left[*from] && next(&left, *from).is_none()) {
        left[done] = false;
    }
    let start = left.iter().position(|is_left| *is_left)?;
    let (mut way, mut seen) = (vec![start], HashMap::from([(start, 0)]));
    loop {
        let step = next(&left, *way.last()?)?;
        way.push(step);
        if let Some(first) = seen.insert(step, way.len() - 1) {
            return Some(way.split_off(first));
        }
    }
}

/// Whether no two services have one port of the host.
pub(super) fn published(file: &Path, services: &[Service]) -> Result<()> {
    let mut taken: HashMap<u16, (&str, u32)> = HashMap::new();
    for service in services {
        for published in service.ports.iter().filter_map(|port| port.published.as_ref()) {
            let Spanned { value, place, key } = published;
            if let Some((other, line)) = taken.insert(*value, (&service.name, place.line)) {
                let reason =
                    format!("port {value} of the host is published by `{other}` already, in line {line}");
                let error = ComposeError::new(file, Some(*place), key, reason);
                return Err(error.instead("choose another port in front of the colon"));
            }
        }
    }
    Ok(())
}

/// Whether no two services have one name in the network that must be its own.
pub(super) fn names(described: &At<'_>, services: &[Service]) -> Result<()> {
    for service in services {
        let Some(name) = &service.container_name else { continue };
        let is_other = |other: &&Service| {
            other.name != service.name && (other.name == *name || other.container_name.as_ref() == Some(name))
        };
        if let Some(other) = services.iter().find(is_other) {
            let at = described.get(&service.name).and_then(|at| at.get("container_name"));
            let error =
                at.as_ref().unwrap_or(described).error(format!("`{}` has the name `{name}` too", other.name));
            return Err(error.instead("choose another name, or remove the key"));
        }
    }
    Ok(())
}
