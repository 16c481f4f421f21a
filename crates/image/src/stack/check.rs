//! What the shape of a description alone does not promise: names, numbers and lengths that everything after it relies on.
//!
//! The same is asked of a description that is built, of one that an image carries, and of what records repeat of it.

use std::path::Path;

use protocol::{Hooks, Replace, exec};

use super::exports::Known;
use super::{
    CPUS_LIMIT, DISK_GIB_LIMIT, InvalidStack, MEMORY_MIB_LIMIT, MachineSize, Port, Secret, Service, Stack,
};

/// Most ports, secrets, services, and hooks of a kind. Each port is a forward, and each service a flag of `journalctl`.
const ENTRIES_LIMIT: usize = 64;

/// Longest name, in bytes.
const NAME_LIMIT: usize = 64;

/// Longest path, in bytes.
const PATH_LIMIT: usize = 1024;

impl Stack {
    pub(crate) fn check(&self) -> Result<(), InvalidStack> {
        self.contradiction().map_err(InvalidStack)
    }

    fn contradiction(&self) -> Result<(), String> {
        name(&self.name)?;
        ports(&self.ports)?;
        secrets(&self.secrets)?;
        services(&self.services)?;
        hooks(&self.hooks, &self.secrets)?;
        exports(self)?;
        if !self.ports.iter().any(|port| port.health.is_some()) {
            return Err("no port has a health path, so readiness cannot be checked".to_owned());
        }
        machine(&self.machine)
    }
}

/// Whether programs of developers can be given these variables.
pub(crate) fn exports(stack: &Stack) -> Result<(), String> {
    let ports: Vec<_> = stack.ports.iter().map(|port| port.name.as_str()).collect();
    let known = Known { ports: &ports, secrets: &stack.secrets };
    known.exports(&stack.exports)?;
    known.project(stack.project.as_ref(), &stack.exports)
}

/// Whether a machine can have this size.
pub(crate) fn machine(size: &MachineSize) -> Result<(), String> {
    let MachineSize { memory_mib, cpus, disk_gib } = *size;
    if memory_mib < 256 || cpus == 0 || disk_gib == 0 {
        return Err("the machine needs at least 256 MiB, 1 CPU and 1 GiB of disk".to_owned());
    }
    if memory_mib > MEMORY_MIB_LIMIT || cpus > CPUS_LIMIT || disk_gib > DISK_GIB_LIMIT {
        return Err(format!(
            "a machine has at most {MEMORY_MIB_LIMIT} MiB, {CPUS_LIMIT} CPUs and {DISK_GIB_LIMIT} GiB of disk"
        ));
    }
    Ok(())
}

/// Whether these are ports that one machine can serve.
///
/// # Errors
/// With what is wrong with one.
pub fn ports(ports: &[Port]) -> Result<(), String> {
    few("ports", ports.len())?;
    for (index, port) in ports.iter().enumerate() {
        name(&port.name)?;
        port_variable(&port.env)?;
        if port.guest == 0 || port.host == 0 {
            return Err(format!("port `{}` has the number 0", port.name));
        }
        if port.guest == exec::PORT {
            return Err(format!("port `{}` has the number {}, which is the agent's", port.name, port.guest));
        }
        if let Some(path) = &port.health {
            health_path(&port.name, path)?;
        }
        if let Some(twin) = ports[..index].iter().find(|twin| {
            twin.name == port.name
                || twin.guest == port.guest
                || twin.host == port.host
                || twin.env == port.env
        }) {
            return Err(format!(
                "ports `{}` and `{}` share a name, number or variable",
                twin.name, port.name
            ));
        }
    }
    Ok(())
}

/// Whether these are secrets that one session can have.
///
/// # Errors
/// With what is wrong with one.
pub fn secrets(secrets: &[Secret]) -> Result<(), String> {
    few("secrets", secrets.len())?;
    for (index, secret) in secrets.iter().enumerate() {
        name(&secret.name)?;
        variable(&secret.env)?;
        if !secret.format.accepts(&secret.placeholder) {
            return Err(format!("the placeholder of secret `{}` is not in its own format", secret.name));
        }
        if let Some(twin) = secrets[..index].iter().find(|twin| {
            twin.name == secret.name || twin.env == secret.env || twin.placeholder == secret.placeholder
        }) {
            return Err(format!(
                "secrets `{}` and `{}` share a name, variable or placeholder",
                twin.name, secret.name
            ));
        }
    }
    Ok(())
}

/// Whether these are services whose journals can be distinguished.
///
/// # Errors
/// With what is wrong with one.
pub fn services(services: &[Service]) -> Result<(), String> {
    few("services", services.len())?;
    for (index, service) in services.iter().enumerate() {
        name(&service.name)?;
        if !is_unit(&service.unit) {
            return Err(format!(
                "service `{}` has the unit {:?}, which is not a unit's full name",
                service.name, service.unit
            ));
        }
        if let Some(twin) =
            services[..index].iter().find(|twin| twin.name == service.name || twin.unit == service.unit)
        {
            return Err(format!("services `{}` and `{}` share a name or unit", twin.name, service.name));
        }
    }
    Ok(())
}

/// Whether these can be done with these secrets.
///
/// # Errors
/// With what is wrong with one.
pub fn hooks(hooks: &Hooks, secrets: &[Secret]) -> Result<(), String> {
    few("hooks that replace", hooks.replace.len())?;
    few("hooks that restart", hooks.restart.len())?;
    for Replace { file, secret, placeholder } in &hooks.replace {
        self::file(file).map_err(|reason| format!("the hook's file {reason}"))?;
        if !secrets.iter().any(|known| known.name == *secret) {
            return Err(format!("a hook replaces in `{file}` for {secret:?}, which is not a secret"));
        }
        if !placeholder.is_empty() {
            return Err(format!("the hook for `{file}` has a placeholder: it is the secret's own"));
        }
    }
    match hooks.restart.iter().find(|unit| !is_unit(unit)) {
        Some(unit) => Err(format!("a hook restarts {unit:?}, which is not a unit's full name")),
        None => Ok(()),
    }
}

/// Whether `path` can be that of a file in the guest.
pub(crate) fn file(path: &str) -> Result<(), String> {
    if Path::new(path).is_absolute() && path.len() <= PATH_LIMIT && !path.contains(char::is_control) {
        Ok(())
    } else {
        Err(format!("{path:?} is not an absolute path"))
    }
}

/// Whether `path` can be asked of the port `name` as it is.
///
/// # Errors
/// With what is wrong with it.
pub fn health_path(name: &str, path: &str) -> Result<(), String> {
    self::path(&format!("the health path of port `{name}`"), path)
}

/// Whether `path`, which is called `what`, can be asked for as it is: path and query of RFC 3986.
pub(crate) fn path(what: &str, path: &str) -> Result<(), String> {
    let known =
        |character: char| character.is_ascii_alphanumeric() || "/-._~!$&'()*+,;=:@%?".contains(character);
    if !path.starts_with('/') {
        return Err(format!("{what} does not start with `/`"));
    }
    if path.len() > PATH_LIMIT || !path.chars().all(known) {
        return Err(format!("{what} has a character that no URL has, or too many"));
    }
    Ok(())
}

/// Whether `name` can be part of a flag, a file's name and a message.
///
/// # Errors
/// When it cannot.
pub fn name(name: &str) -> Result<(), String> {
    let known = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    let valid = (1..=NAME_LIMIT).contains(&name.len()) && !name.starts_with('-') && name.chars().all(known);
    if valid {
        Ok(())
    } else {
        Err(format!("{name:?} is not a valid name: use letters, digits, `-` and `_`, at most {NAME_LIMIT}"))
    }
}

/// A variable's name that every shell and `systemd.exec(5)` take: POSIX, "Environment Variables".
pub(crate) fn variable(name: &str) -> Result<(), String> {
    let known = |character: char| character.is_ascii_alphanumeric() || character == '_';
    let valid = (1..=NAME_LIMIT).contains(&name.len())
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(known);
    if valid { Ok(()) } else { Err(format!("{name:?} is not a valid name of a variable")) }
}

/// The name of a variable that is read on the host, and so one that cannot hold anyone's secret: an image must not choose what is looked at.
fn port_variable(name: &str) -> Result<(), String> {
    variable(name)?;
    let middle = name.strip_prefix("EMULATOR_").and_then(|rest| rest.strip_suffix("_PORT"));
    match middle.filter(|middle| !middle.is_empty()) {
        Some(_) => Ok(()),
        None => Err(format!("{name:?} is not a valid variable of a port: use `EMULATOR_<NAME>_PORT`")),
    }
}

/// Whether this is the full name of a systemd unit that can be restarted: systemd.unit(5), which has the limit too.
fn is_unit(name: &str) -> bool {
    const KINDS: [&str; 3] = [".service", ".socket", ".target"];
    let known = |character: char| character.is_ascii_alphanumeric() || ":-_.\\@".contains(character);
    name.len() < 256
        && name.chars().all(known)
        && !name.starts_with('-')
        && KINDS.iter().any(|kind| name.strip_suffix(kind).is_some_and(|stem| !stem.is_empty()))
}

fn few(what: &str, count: usize) -> Result<(), String> {
    if count > ENTRIES_LIMIT {
        Err(format!("there are {count} {what}, and at most {ENTRIES_LIMIT}"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack() -> Stack {
        crate::description::tests::built_in().stack
    }

    fn refused(change: impl FnOnce(&mut Stack)) -> String {
        let mut stack = stack();
        change(&mut stack);
        stack.check().unwrap_err().to_string()
    }

    #[test]
    fn what_shares_a_name_is_refused() {
        let text = refused(|stack| stack.secrets[1].name = stack.secrets[0].name.clone());
        assert!(text.contains("share a name, variable or placeholder"), "{text}");
        let text = refused(|stack| stack.secrets[1].env = stack.secrets[0].env.clone());
        assert!(text.contains("share a name, variable or placeholder"), "{text}");
        let text = refused(|stack| stack.services[1].name = stack.services[0].name.clone());
        assert!(text.contains("share a name or unit"), "{text}");
    }

    #[test]
    fn names_that_a_shell_or_systemd_would_not_take_are_refused() {
        for name in ["", "1A", "A=B", "A B", "A\nB", "\u{e9}", &"A".repeat(65)] {
            let text = refused(|stack| stack.ports[0].env = name.to_owned());
            assert!(text.ends_with("is not a valid name of a variable"), "{text}");
            let text = refused(|stack| stack.secrets[0].env = name.to_owned());
            assert!(text.ends_with("is not a valid name of a variable"), "{text}");
        }
        for unit in ["redis", "--all.service", "a b.service", &format!("{}.service", "a".repeat(250))] {
            let text = refused(|stack| stack.services[0].unit = unit.to_owned());
            assert!(text.ends_with("which is not a unit's full name"), "{text}");
        }
    }

    #[test]
    fn a_port_has_a_variable_that_can_hold_no_secret() {
        for name in [
            "AWS_SECRET_ACCESS_KEY",
            "GITHUB_TOKEN",
            "EMULATOR_PORT",
            "EMULATOR__PORT",
            "EMULATOR_REPO",
            "DB_PORT",
        ] {
            let text = refused(|stack| stack.ports[0].env = name.to_owned());
            assert!(
                text.ends_with("is not a valid variable of a port: use `EMULATOR_<NAME>_PORT`"),
                "{text}"
            );
        }
        let mut stack = stack();
        stack.ports[0].env = "EMULATOR_MAIL_UI_PORT".to_owned();
        stack.check().unwrap();
    }

    #[test]
    fn numbers_beyond_every_machine_are_refused() {
        for change in [
            |stack: &mut Stack| stack.machine.cpus = u32::MAX,
            |stack: &mut Stack| stack.machine.memory_mib = u64::MAX,
            |stack: &mut Stack| stack.machine.disk_gib = u64::MAX,
        ] {
            let text = refused(change);
            assert!(text.contains("a machine has at most"), "{text}");
        }
        let text = refused(|stack| stack.ports[0].guest = 0);
        assert!(text.ends_with("has the number 0"), "{text}");
        let text = refused(|stack| stack.ports[0].guest = exec::PORT);
        assert!(text.ends_with("has the number 1022, which is the agent's"), "{text}");
        let text = refused(|stack| stack.services = vec![stack.services[0].clone(); 65]);
        assert!(text.ends_with("there are 65 services, and at most 64"), "{text}");
    }
}
