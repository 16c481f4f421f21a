//! What the attendant tells the guest's agent.

use std::time::Duration;

use protocol::Command;
use vm::agent::{self, Agent, AgentError};

use crate::instance::live::Live;

/// How long the agent may take for one request, on hardware acceleration.
const LIMIT: Duration = Duration::from_secs(1);

/// Sets the guest's clock to the host's: a guest is paused while its host sleeps, and its clock does not notice.
///
/// # Errors
/// When the agent does not answer, or cannot set it.
pub(super) async fn set_clock(live: &Live) -> Result<(), AgentError> {
    let limit = limit(live);
    let mut agent = Agent::reach(&live.machine.agent, limit).await?;
    // Asked first, so that a guest that has to wake up for it is not sent a time that has passed.
    agent.call(Command::Hello, limit).await?;
    agent.call(Command::Clock { time: agent::now() }, limit).await.map(drop)
}

/// Has the services do what could wait until the start was over. The guests of older images do it earlier, and refuse this.
///
/// # Errors
/// When the agent does not answer, or a service refuses.
pub(super) async fn settle(live: &Live) -> Result<(), AgentError> {
    let limit = limit(live);
    Agent::reach(&live.machine.agent, limit).await?.call(Command::Settle, limit).await.map(drop)
}

fn limit(live: &Live) -> Duration {
    LIMIT * live.topology().accelerator.patience()
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;

    use super::*;
    use crate::instance::live::tests::{is_asked_for, live};

    #[tokio::test]
    async fn services_are_asked_to_do_what_could_wait() {
        let dir = tempfile::tempdir().unwrap();
        let mut live = live(None, true);
        live.machine.agent = dir.path().join("agent");
        let listener = UnixListener::bind(&live.machine.agent).unwrap();
        let (settled, ()) = tokio::join!(settle(&live), is_asked_for(&listener, Command::Settle, ""));
        settled.unwrap();
    }
}
