//! How a container is, as its supervisor writes it and the agent and the host read it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Name of the state's file in the runtime directory of the container's service, `/run/stack-NAME`.
pub const STATE_FILE: &str = "state";

/// How a container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// What it is doing.
    pub status: Status,
    /// Why it is not well, for people; nothing for one that is.
    pub reason: Option<String>,
    /// Times that its program has been started again because it had ended.
    pub restarts: u32,
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It is not yet what [`Ready`](super::Ready) waits for.
    Starting,
    /// It runs, and nothing checks whether it works.
    Running,
    /// It runs, and its last check has passed.
    Healthy,
    /// It runs, and as many checks as it may fail have failed.
    Unhealthy,
    /// It was started again because its program had ended, and has yet to run for a while or to pass a check.
    Restarting,
    /// Its program has ended with success.
    Completed,
    /// Its program has failed, or could not be started.
    Failed,
    /// Its service does not run.
    Stopped,
}

impl Status {
    /// Whether a stack with this container works.
    pub fn is_well(self) -> bool {
        match self {
            Self::Starting | Self::Running | Self::Healthy | Self::Completed => true,
            Self::Unhealthy | Self::Restarting | Self::Failed | Self::Stopped => false,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
            Self::Restarting => "restarting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        })
    }
}

impl State {
    /// That of a container without anything to report.
    pub fn of(status: Status) -> Self {
        Self { status, reason: None, restarts: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_same_word_everywhere() {
        for status in [
            Status::Starting,
            Status::Running,
            Status::Healthy,
            Status::Unhealthy,
            Status::Restarting,
            Status::Completed,
            Status::Failed,
            Status::Stopped,
        ] {
            assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{status}\""));
        }
    }

    #[test]
    fn a_state_is_one_flat_object() {
        let state =
            State { status: Status::Restarting, reason: Some("it ended with status 1".into()), restarts: 2 };
        let text = serde_json::to_string(&state).unwrap();
        insta::assert_snapshot!(text, @r#"{"status":"restarting","reason":"it ended with status 1","restarts":2}"#);
        assert_eq!(serde_json::from_str::<State>(&text).unwrap(), state);
    }
}
