//! Units of containers.

use std::fmt::Write as _;

use compose::model::{Condition, Limits, Project, Restart, Service};

use super::names::{Names, unit};
use super::pointer::{Pointer, Result};

/// The unit that makes the network of containers.
pub(super) const NETWORK: &str = "stack-containers.service";

/// The unit after which a start's own settings are there.
const SETTINGS: &str = "stack-config.service";

/// Files with variables, as every unit of a service reads them.
const ENVIRONMENT: [&str; 4] = [
    "/etc/stack/stack.env",
    "/etc/stack/secrets.env",
    "-/run/stack/config/base.env",
    "-/run/stack/config/runtime.env",
];

/// Seconds that systemd waits longer than the container has to end.
const STOP_MARGIN: u32 = 5;

/// How long a container may take to be ready, in one start and in all until then: a first one may fill a database.
const START_LIMIT: &str = "15min";

/// The value of `Restart=` for a program that is not started again.
const NO_RESTART: &str = "no";

/// In which time restarts count towards the most that `on-failure:N` allows.
const RESTARTS_WITHIN: &str = "1h";

/// The text of the unit of a container that has `stop_seconds` to end.
pub(super) fn text(
    pointer: Pointer<'_>,
    project: &Project,
    names: &Names,
    service: &Service,
    stop_seconds: u32,
) -> Result<String> {
    let name = names.name(service);
    let is_job = is_job(project, service);
    let (wants, requires, after) = dependencies(names, service);
    let (restart, limit) = restart(pointer, service, is_job)?;
    let mut unit = String::new();
    let mut line = |key: &str, value: &str| {
        let _ = writeln!(unit, "{key}={value}");
    };
    line("[Unit]\nDescription", &format!("Container {name}"));
    line("DefaultDependencies", "no");
    match limit {
        Some(burst) => {
            line("StartLimitIntervalSec", RESTARTS_WITHIN);
            line("StartLimitBurst", &burst.to_string());
        }
        None => line("StartLimitIntervalSec", "0"),
    }
    line("Conflicts", "shutdown.target");
    line("Before", "shutdown.target");
    line("JobRunningTimeoutSec", START_LIMIT);
    if !wants.is_empty() {
        line("Wants", &wants.join(" "));
    }
    line("Requires", &requires.join(" "));
    line("After", &after.join(" "));
    if is_job {
        line("\n[Service]\nType", "oneshot");
        line("RemainAfterExit", "yes");
    } else {
        line("\n[Service]\nType", "notify");
        line("NotifyAccess", "main");
    }
    for file in ENVIRONMENT {
        line("EnvironmentFile", file);
    }
    line("RuntimeDirectory", &format!("stack-{name}"));
    line("RuntimeDirectoryMode", "0700");
    // How its program has ended stays to be reported.
    line("RuntimeDirectoryPreserve", "yes");
    line("ExecStart", &format!("/usr/lib/stack/stackd container run {name}"));
    line("SyslogIdentifier", name);
    line("KillMode", "mixed");
    line("TimeoutStartSec", START_LIMIT);
    line("TimeoutStopSec", &stop_seconds.saturating_add(STOP_MARGIN).to_string());
    line("Restart", restart);
    if restart != NO_RESTART {
        // What waits for it does so until it works, not until its first end.
        line("RestartMode", "direct");
    }
    line("RestartSec", "1");
    line("Delegate", "yes");
    line("OOMPolicy", "continue");
    limits(&service.limits, line);
    Ok(unit)
}

/// Whether another service waits until this one has ended.
pub(super) fn is_job(project: &Project, service: &Service) -> bool {
    let mut dependencies = project.services.iter().flat_map(|other| &other.depends_on);
    dependencies
        .any(|dependency| dependency.service == service.name && dependency.condition == Condition::Completed)
}

/// The units that are wanted, those that are required, and those that come before. A job that must have succeeded is required, and so
/// is what the service is to be restarted with; others are wanted, as a service may outlive them.
fn dependencies(names: &Names, service: &Service) -> (Vec<String>, Vec<String>, Vec<String>) {
    let (mut wants, mut requires) = (Vec::new(), vec![NETWORK.to_owned()]);
    let mut after = vec![SETTINGS.to_owned(), NETWORK.to_owned()];
    for dependency in &service.depends_on {
        let Some(name) = names.get(&dependency.service) else { continue };
        let is_bound = dependency.required && dependency.condition == Condition::Completed;
        let list = if is_bound || dependency.restart { &mut requires } else { &mut wants };
        list.push(unit(name));
        after.push(unit(name));
    }
    (wants, requires, after)
}

/// The value of `Restart=`, and how many starts there may be.
fn restart(pointer: Pointer<'_>, service: &Service, is_job: bool) -> Result<(&'static str, Option<u32>)> {
    match service.restart {
        Restart::Always | Restart::UnlessStopped if is_job => Err(pointer.service(
            service,
            "restart",
            "another service waits until this one has ended, and it is always started again",
            "write `restart: on-failure`",
        )),
        Restart::No => Ok((NO_RESTART, None)),
        Restart::Always | Restart::UnlessStopped => Ok(("always", None)),
        Restart::OnFailure(most) => Ok(("on-failure", most.map(|most| most.saturating_add(1)))),
    }
}

fn limits(limits: &Limits, mut line: impl FnMut(&str, &str)) {
    if let Some(bytes) = limits.memory {
        line("MemoryMax", &bytes.to_string());
    }
    if let Some(nano_cpus) = limits.nano_cpus {
        // A percent of a processor is ten millions of its billionths.
        line("CPUQuota", &format!("{}%", (nano_cpus / 10_000_000).max(1)));
    }
    if let Some(pids) = limits.pids {
        line("TasksMax", &pids.to_string());
    }
}
