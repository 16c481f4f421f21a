//! Delivery to the guest: by its own agent or, if that fails, by QEMU's guest agent, which starts a program for it.

use std::path::Path;
use std::time::Duration;

use protocol::Command;
use vm::agent::{self, AgentError, Done};

/// QEMU's guest agent, for when the guest's own agent fails.
pub(crate) struct Fallback<'a> {
    /// Its socket.
    pub(crate) qga: &'a Path,
    /// How long it may take.
    pub(crate) limit: Duration,
    /// After which failures it is used.
    pub(crate) after: fn(&AgentError) -> bool,
}

impl Fallback<'_> {
    /// Makes the guest's own agent carry out a `command` with `own`, or else QEMU's. A new command is created for each, because it
    /// may contain the time. `on_failure` gets the failure because of which QEMU's agent is used.
    ///
    /// # Errors
    /// When the command cannot be created, or the last agent that was used fails.
    pub(crate) async fn deliver<E: From<AgentError>>(
        &self,
        own: impl AsyncFnOnce(Command) -> Result<Done, AgentError>,
        command: impl Fn() -> Result<Command, E>,
        on_failure: impl FnOnce(&AgentError),
    ) -> Result<Done, E> {
        match own(command()?).await {
            Err(error) if (self.after)(&error) => {
                on_failure(&error);
                Ok(agent::call_through_qga(self.qga, command()?, self.limit).await?)
            }
            answer => Ok(answer?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    /// Delivers a command when the guest's own agent fails and QEMU's does not listen: returns how often it was created, and the error.
    async fn delivered(after: fn(&AgentError) -> bool) -> (u32, AgentError) {
        let dir = tempfile::tempdir().unwrap();
        let fallback = Fallback { qga: &dir.path().join("qga"), limit: SOON, after };
        let made = Cell::new(0);
        let command = || {
            made.set(made.get() + 1);
            Ok::<_, AgentError>(Command::Sync)
        };
        let own = async |_| Err(AgentError::Silent(SOON));
        let error = fallback.deliver(own, command, |_| ()).await.unwrap_err();
        (made.get(), error)
    }

    #[tokio::test]
    async fn the_other_agent_gets_a_new_command() {
        let (made, error) = delivered(|_| true).await;
        assert!(made == 2 && matches!(error, AgentError::Qga(_)), "{made} {error}");
    }

    #[tokio::test]
    async fn a_failure_that_the_other_agent_cannot_mend_is_the_error() {
        let (made, error) = delivered(|error| matches!(error, AgentError::Io { .. })).await;
        assert!(made == 1 && matches!(error, AgentError::Silent(_)), "{made} {error}");
    }
}
