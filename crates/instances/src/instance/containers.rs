//! The containers of a running machine, as its guest knows them. A machine without containers is not asked.

use std::time::Duration;

use protocol::Command;
use protocol::containers::{State, Status};
use serde::Serialize;
use vm::agent::{Agent, AgentError};

use super::live::Live;

/// How one container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerHealth {
    /// Name of its service.
    pub name: String,
    /// What it is doing.
    pub status: Status,
    /// Whether it works, as far as that is known.
    pub healthy: bool,
    /// Why it does not.
    pub reason: Option<String>,
    /// Times that its program was started again because it had ended.
    pub restarts: u32,
}

/// Asks the guest for the containers of the stack, in the order of its services, within `limit`.
///
/// # Errors
/// When the guest's agent does not answer.
pub async fn check(live: &Live, limit: Duration) -> Result<Vec<ContainerHealth>, AgentError> {
    let names: Vec<_> =
        live.stack.services.iter().filter(|service| service.container).map(|service| &service.name).collect();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut agent = Agent::reach(&live.machine.agent, limit).await?;
    let mut states = agent.call(Command::Containers, limit).await?.containers;
    let health = |name: &String| {
        // What the guest does not list does not run there.
        let known = states.remove(name).unwrap_or_else(|| State::of(Status::Stopped));
        let State { status, reason, restarts } = known;
        let healthy = status.is_well();
        ContainerHealth { name: name.clone(), status, healthy, reason: reason.filter(|_| !healthy), restarts }
    };
    Ok(names.into_iter().map(health).collect())
}

#[cfg(test)]
mod tests {
    use image::stack::Service;
    use tokio::net::UnixListener;

    use super::*;
    use crate::instance::live::tests::{is_asked_for, live};

    const SOON: Duration = Duration::from_secs(5);

    fn service(name: &str, container: bool) -> Service {
        Service { name: name.into(), unit: format!("stack-{name}.service"), container }
    }

    #[tokio::test]
    async fn a_machine_without_containers_is_not_asked() {
        let mut live = live(None, true);
        live.stack.services = vec![service("postgres", false)];
        assert_eq!(check(&live, SOON).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_guest_says_how_its_containers_are() {
        let dir = tempfile::tempdir().unwrap();
        let mut live = live(None, true);
        live.machine.agent = dir.path().join("agent");
        live.stack.services = vec![service("web", true), service("db", true), service("cron", true)];
        let listener = UnixListener::bind(&live.machine.agent).unwrap();
        let states = r#","containers":{"web":{"status":"restarting","reason":"its program exited with status 3","restarts":2},"db":{"status":"healthy","reason":null,"restarts":0}}"#;
        let guest = is_asked_for(&listener, Command::Containers, states);
        let (health, ()) = tokio::join!(check(&live, SOON), guest);
        let lines: Vec<_> = health
            .unwrap()
            .into_iter()
            .map(|it| format!("{} {:?} {} {:?} {}", it.name, it.status, it.healthy, it.reason, it.restarts))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        web Restarting false Some("its program exited with status 3") 2
        db Healthy true None 0
        cron Stopped false None 0
        "#);
    }
}
