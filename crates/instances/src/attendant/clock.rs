//! The guest's clock: a guest is paused while its host sleeps, and its clock does not notice.

use std::time::Duration;

use protocol::Command;
use vm::agent::{self, Agent, AgentError};

use crate::instance::live::Live;

/// How long the agent may take, on hardware acceleration.
const AGENT_LIMIT: Duration = Duration::from_secs(1);

/// Sets it to the host's.
///
/// # Errors
/// When the agent does not answer, or cannot set it.
pub(super) async fn set(live: &Live) -> Result<(), AgentError> {
    let limit = AGENT_LIMIT * live.topology().accelerator.patience();
    let mut agent = Agent::reach(&live.machine.agent, limit).await?;
    // Asked first, so that a guest that has to wake up for it is not sent a time that has passed.
    agent.call(Command::Hello, limit).await?;
    agent.call(Command::Clock { time: agent::now() }, limit).await.map(drop)
}
