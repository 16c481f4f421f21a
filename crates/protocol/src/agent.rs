//! What the host says to the guest's resident agent, and what it answers: one JSON object a line.
//!
//! The way is the virtio-serial port [`ports::AGENT`]. Where the agent is dead, the same request goes to the stdin of
//! `stackd resume`, run by QEMU's guest agent, and the answer comes from its stdout. A connection begins with an empty line,
//! which ends whatever an earlier one has left unfinished.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Secret;
use crate::containers::State;
#[cfg(doc)]
use crate::{exec, names::ports};

/// Version of the requests and answers that this program writes and reads.
pub const VERSION: u32 = 1;

/// Bytes of entropy that a resumed guest is given.
pub const ENTROPY_BYTES: usize = 64;

/// One request of the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`] of the writer. A guest refuses what is newer than itself.
    pub v: u32,
    /// Chosen by the host, and repeated in the answer. Answers with other ids are those to earlier requests.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What the guest is to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Command {
    /// Nothing but answer: the agent is there.
    Hello,
    /// Answer when every service does, and nothing of the boot is under way any more.
    Ready,
    /// Make a machine that is ready worth capturing: every endpoint called once, pools empty, disks written, free memory cheap
    /// to store.
    Prepare,
    /// Become the machine of this moment and of this instance.
    Resume(Box<Resume>),
    /// Set the clock.
    Clock {
        /// The host's time, in nanoseconds since 1970.
        time: u64,
    },
    /// Write everything to the disk: the machine is about to be suspended.
    Sync,
    /// Answer with the states of the containers.
    Containers,
    /// Have the services do what could wait until the host had all its answers.
    Settle,
    /// Expect one connection with this token on [`exec::PORT`].
    Exec {
        /// [`exec::TOKEN_DIGITS`] hexadecimal digits.
        token: Secret,
    },
}

/// What makes a copy of a machine a machine of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Resume {
    /// The host's time when this was sent, in nanoseconds since 1970. The clock is stepped to it.
    pub time: u64,
    /// [`ENTROPY_BYTES`] random bytes in hexadecimal digits, for the kernel's generator.
    pub entropy: Secret,
    /// New values of the stack's secrets, by the names that the image's manifest gives them. None where they stay.
    pub secrets: BTreeMap<String, Secret>,
    /// Variables that override the services' own environment: secrets by their variables, addresses on the host, the
    /// instance's name. The whole session file is made of these.
    pub env: BTreeMap<String, Secret>,
    /// What has to be done for daemons that cannot take secrets while they run.
    #[serde(default)]
    pub hooks: Hooks,
}

/// What has to be done for daemons that cannot take secrets while they run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hooks {
    /// Files in which placeholders are replaced, before any restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replace: Vec<Replace>,
    /// systemd units to restart, each with all of its processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restart: Vec<String>,
}

/// A placeholder in a file of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Replace {
    /// Absolute path of the file. What it was before the first replacement is kept, and every later one starts from that.
    pub file: String,
    /// Name of the secret whose placeholder is in it.
    pub secret: String,
    /// The placeholder: filled in from the secret's description, not written in a hook.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub placeholder: String,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// [`VERSION`] of the writer.
    pub v: u32,
    /// The request's id.
    pub id: u64,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// Everything was done.
    Done {
        /// What was done, in the order in which it ended.
        steps: Vec<Step>,
        /// The guest's clock when it answered, in nanoseconds since 1970.
        time: u64,
        /// The states of the containers by their names, as the answer to [`Command::Containers`].
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        containers: BTreeMap<String, State>,
    },
    /// Something could not be done. What was done before it stays done.
    Failed {
        /// The step that failed; `protocol` if the request was not understood.
        step: String,
        /// Why, for people. Holds no secret.
        reason: String,
    },
}

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Short stable name. [`Command::Resume`] has `clock`, `entropy`, `env`, `secrets`, `reload` and `hooks`.
    pub step: String,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl Request {
    /// A request of this version.
    pub fn new(id: u64, command: Command) -> Self {
        Self { v: VERSION, id, command }
    }
}

impl Answer {
    /// An answer of this version.
    pub fn new(id: u64, outcome: Outcome) -> Self {
        Self { v: VERSION, id, outcome }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::containers::Status;

    fn resume() -> Request {
        let secret = |text: &str| Secret::new(text);
        let resume = Resume {
            time: 1_764_000_000_123_456_789,
            entropy: secret("00ff"),
            secrets: BTreeMap::from([("cron_secret".to_owned(), secret("ab"))]),
            env: BTreeMap::from([("CRON_SECRET".to_owned(), secret("ab"))]),
            hooks: Hooks::default(),
        };
        Request::new(7, Command::Resume(Box::new(resume)))
    }

    #[test]
    fn a_request_is_one_flat_object() {
        insta::assert_snapshot!(serde_json::to_string(&resume()).unwrap(), @r#"{"v":1,"id":7,"command":"resume","time":1764000000123456789,"entropy":"00ff","secrets":{"cron_secret":"ab"},"env":{"CRON_SECRET":"ab"},"hooks":{}}"#);
        insta::assert_snapshot!(serde_json::to_string(&Request::new(1, Command::Hello)).unwrap(), @r#"{"v":1,"id":1,"command":"hello"}"#);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = serde_json::to_string(&resume()).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), resume());
        let failed = Outcome::Failed { step: "secrets".into(), reason: "no database".into() };
        let containers = BTreeMap::from([("web".to_owned(), State::of(Status::Healthy))]);
        let done = Outcome::Done { steps: Vec::new(), time: 5, containers };
        for outcome in [failed, done] {
            let answer = Answer::new(7, outcome);
            let text = serde_json::to_string(&answer).unwrap();
            assert_eq!(serde_json::from_str::<Answer>(&text).unwrap(), answer);
        }
    }

    #[test]
    fn no_secret_is_shown_by_accident() {
        let text = format!("{:?}", resume());
        assert!(!text.contains("ab\"") && !text.contains("00ff"), "{text}");
    }
}
