//! `stackd start`: starts the services when an image is built, and ends as soon as it is clear that they will not answer.
//!
//! In a running machine systemd starts a container again for as long as it takes. A build has no one who would read its state
//! meanwhile, so that it ends with the name of the service, how its program has ended, and what that has printed last.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::bail;
use base::process::{Cmd, ProcessError};
use protocol::{
    containers::{State, Status},
    services::{Service, Services},
};

use crate::{container, ready, service, services};

/// Ends of a service's program that are enough once [`PATIENCE`] is over.
const MOST_ENDS: u32 = 5;

/// How long programs may end again and again for want of another service. A database that is made at its first start takes 20 s under
/// software emulation.
const PATIENCE: Duration = Duration::from_mins(1);

/// How often the services are looked at.
const PACE: Duration = Duration::from_secs(1);

/// Lines of a service's log in the error: the host shows the last 20 of a step.
const LOG_LINES: &str = "--lines=12";

/// The unit that has started when the services answer.
const READY: &str = "stack-ready.service";

/// Starts the services, and waits until they answer.
///
/// # Errors
/// When a service does not start, or will not answer.
pub(crate) fn run() -> anyhow::Result<()> {
    let services = services::load()?;
    service::run(start(&services))?
}

async fn start(services: &Services) -> anyhow::Result<()> {
    let units: Vec<_> = services.services.iter().map(|service| service.unit.as_str()).collect();
    let starting = systemctl("start").args(&units);
    let begin = Instant::now();
    let outcome = async {
        tokio::select! {
            started = starting.output() => drop(started?),
            hopeless = watch(services, &units, begin, false) => return hopeless,
        }
        tokio::select! {
            answer = ready::services_answer(services) => answer?,
            hopeless = watch(services, &units, begin, true) => return hopeless,
        }
        systemctl("start").arg(READY).output().await?;
        Ok(())
    };
    match outcome.await {
        Err(error) if !error.is::<Hopeless>() => explained(error, services, &units).await,
        outcome => outcome,
    }
}

/// Looks at the services, which have been starting since `begin`, until it is clear that one will not work. After all have been started
/// (`after`), one that has ended for good never answers.
async fn watch(services: &Services, units: &[&str], begin: Instant, after: bool) -> anyhow::Result<()> {
    loop {
        let is_patient = begin.elapsed() < PATIENCE;
        if let Some((service, why)) = look(services, units, is_patient, after).await? {
            return Err(Hopeless { name: service.name.clone(), why, log: log(service).await? }.into());
        }
        tokio::time::sleep(PACE).await;
    }
}

/// The first service that will not work, and why.
async fn look<'a>(
    services: &'a Services,
    units: &[&str],
    is_patient: bool,
    after: bool,
) -> anyhow::Result<Option<(&'a Service, String)>> {
    let shown = systemctl("show").arg("--property=Id,ActiveState,NRestarts").args(units).text().await?;
    let (shown, states) = (parsed(&shown), container::state::all(services));
    Ok(services.services.iter().find_map(|service| {
        let unit = shown.get(&service.unit)?;
        Some((service, unit.hopeless(service, states.get(&service.name), is_patient, after)?))
    }))
}

/// The same error, with the first container that does not work if there is one.
async fn explained(error: anyhow::Error, services: &Services, units: &[&str]) -> anyhow::Result<()> {
    let states = container::state::all(services);
    let sick = services.services.iter().find_map(|service| {
        let state = states.get(&service.name).filter(|state| !state.status.is_well())?;
        Some((service, state.reason.clone()?))
    });
    let found = match sick {
        Some(found) => Some(found),
        None => look(services, units, false, true).await?,
    };
    let Some((service, why)) = found else { return Err(error) };
    let error = crate::report(&*error);
    bail!("{error}\n{}", Hopeless { name: service.name.clone(), why, log: log(service).await? })
}

/// What the processes of a service have printed last.
async fn log(service: &Service) -> Result<String, ProcessError> {
    let unit = format!("_SYSTEMD_UNIT={}", service.unit);
    Cmd::new("journalctl").args(["--no-pager", "--quiet", "--output=cat", LOG_LINES, &unit]).text().await
}

fn systemctl(verb: &str) -> Cmd {
    Cmd::new("systemctl").arg(verb)
}

/// A service that will not work.
#[derive(Debug, thiserror::Error)]
#[error("`{name}` does not work: {why}{}", after_title(log))]
struct Hopeless {
    name: String,
    why: String,
    log: String,
}

fn after_title(log: &str) -> String {
    if log.is_empty() {
        "; it has printed nothing".to_owned()
    } else {
        format!("; the last lines of its log:\n{log}")
    }
}

/// What systemd knows of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Unit {
    /// `active`, `activating` and the like.
    active: String,
    /// How often it was started again because its process had ended.
    restarts: u32,
}

impl Unit {
    /// Why this unit of `service` will not work, if that is clear. `state` is that of its container, if it is one.
    fn hopeless(
        &self,
        service: &Service,
        state: Option<&State>,
        is_patient: bool,
        after: bool,
    ) -> Option<String> {
        let reason =
            || state.and_then(|state| state.reason.clone()).unwrap_or_else(|| "its program ended".to_owned());
        let is_ending = match state.map(|state| state.status) {
            Some(Status::Restarting | Status::Failed) => true,
            Some(Status::Completed) | None => self.active == "activating",
            Some(_) => false,
        };
        if self.restarts >= MOST_ENDS && is_ending && !is_patient {
            return Some(format!("{} (ended {} times)", reason(), self.restarts));
        }
        let is_over = matches!(self.active.as_str(), "failed" | "inactive");
        let has_to_answer = service.ports.iter().any(|port| port.health.is_some());
        (after && is_over && has_to_answer).then(|| format!("{}, and it is not started again", reason()))
    }
}

/// Reads what `systemctl show` prints: blocks of `NAME=VALUE` with an empty line between them, by the names of the units.
fn parsed(shown: &str) -> BTreeMap<String, Unit> {
    let unit = |block: &str| {
        let value = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        let restarts = value("NRestarts").and_then(|number| number.parse().ok()).unwrap_or(0);
        Some((value("Id")?.to_owned(), Unit { active: value("ActiveState")?.to_owned(), restarts }))
    };
    shown.split("\n\n").filter_map(unit).collect()
}

#[cfg(test)]
mod tests {
    use protocol::services::Port;

    use super::*;

    fn service(health: Option<&str>) -> Service {
        let ports = vec![Port { guest: 8080, health: health.map(str::to_owned) }];
        let (name, unit) = ("web".to_owned(), "stack-web.service".to_owned());
        Service { name, unit, orders: Vec::new(), ports, warm_up: Vec::new() }
    }

    fn unit(active: &str, restarts: u32) -> Unit {
        Unit { active: active.to_owned(), restarts }
    }

    fn state(status: Status) -> State {
        State { status, reason: Some("its program exited with status 3".to_owned()), restarts: 0 }
    }

    #[test]
    fn a_container_that_ends_again_and_again_is_hopeless() {
        let service = service(Some("/"));
        let after = |unit: Unit, status| unit.hopeless(&service, Some(&state(status)), false, true);
        let why = after(unit("active", 5), Status::Restarting).unwrap();
        assert_eq!(why, "its program exited with status 3 (ended 5 times)");
        assert!(after(unit("activating", 7), Status::Failed).is_some());
        let patient = unit("activating", 7).hopeless(&service, Some(&state(Status::Failed)), true, false);
        assert_eq!(patient, None, "what it needs may be starting");
        assert!(after(unit("activating", 5), Status::Completed).is_some(), "it should run on");
        assert_eq!(after(unit("active", 4), Status::Restarting), None);
        assert_eq!(after(unit("active", 9), Status::Running), None, "it works by now");
        assert_eq!(after(unit("active", 9), Status::Healthy), None, "it works by now");
    }

    #[test]
    fn a_service_that_has_ended_for_good_never_answers() {
        let ended = |health, after| {
            unit("failed", 0).hopeless(&service(health), Some(&state(Status::Failed)), false, after)
        };
        let why = ended(Some("/"), true).unwrap();
        assert_eq!(why, "its program exited with status 3, and it is not started again");
        assert_eq!(ended(Some("/"), false), None, "the start itself fails");
        assert_eq!(ended(None, true), None, "nothing waits for an answer of it");
        let without_state = unit("inactive", 0).hopeless(&service(Some("/")), None, false, true);
        assert!(without_state.unwrap().starts_with("its program ended"));
    }

    #[test]
    fn a_service_without_a_container_counts_by_its_unit() {
        let service = service(Some("/"));
        assert!(unit("activating", 5).hopeless(&service, None, false, false).is_some());
        assert_eq!(unit("active", 5).hopeless(&service, None, false, false), None);
    }

    #[test]
    fn units_are_read_by_their_names() {
        let shown = "NRestarts=2\nId=a.service\nActiveState=activating\n\nId=b.service\nActiveState=active";
        let units = parsed(shown);
        assert_eq!(units["a.service"], unit("activating", 2));
        assert_eq!(units["b.service"], unit("active", 0), "a target has no restarts");
    }

    #[test]
    fn the_error_names_the_service_and_has_its_last_lines() {
        let error = |log: &str| {
            let why = "its program exited with status 3 (ended 5 times)".to_owned();
            Hopeless { name: "web".to_owned(), why, log: log.to_owned() }.to_string()
        };
        insta::assert_snapshot!(error("listening\nno database"), @r"
        `web` does not work: its program exited with status 3 (ended 5 times); the last lines of its log:
        listening
        no database
        ");
        assert!(error("").ends_with("(ended 5 times); it has printed nothing"));
    }
}
