//! What a guest that is provisioned reports to the host: one JSON object a line on the virtio-serial port [`ports::PROGRESS`], and
//! [`markers`] on its console for everything that the port cannot carry.

use serde::{Deserialize, Serialize};

use crate::names::markers;
#[cfg(doc)]
use crate::names::ports;

/// Version of the messages that this program writes and understands.
pub const VERSION: u32 = 1;

/// One message from the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// [`VERSION`] of the writer.
    pub v: u32,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

/// What happened in the guest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A step begins.
    Start {
        /// The step's file name.
        step: String,
        /// What it does, for people.
        title: String,
    },
    /// A step printed a line.
    Line {
        /// The step's file name.
        step: String,
        /// The line without its end.
        text: String,
    },
    /// A step did its job.
    End {
        /// The step's file name.
        step: String,
        /// How long it took by the guest's clock, in seconds.
        seconds: f64,
    },
    /// A step failed, and with it the whole of provisioning.
    Failed {
        /// The step's file name.
        step: String,
        /// "exited with status 3" and the like.
        status: String,
        /// The last lines that it printed.
        tail: Vec<String>,
    },
    /// Everything is done; the machine powers off.
    Done,
}

impl Event {
    /// Writes the line that the host reads, with its end.
    ///
    /// # Panics
    /// Never: messages are made of strings and numbers.
    pub fn to_line(&self) -> String {
        let message = Message { v: VERSION, event: self.clone() };
        let mut line = serde_json::to_string(&message).expect("messages are made of strings and numbers");
        line.push('\n');
        line
    }
}

/// Why a line is not a message of this protocol.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// Not JSON of a known shape.
    #[error("not a progress message")]
    Shape(#[from] serde_json::Error),
    /// Written for another version of this program.
    #[error("a progress message of version {0}, this program understands version {VERSION}")]
    Version(u32),
}

/// Reads one line.
///
/// # Errors
/// When it is not a message of version [`VERSION`].
pub fn parse(line: &[u8]) -> Result<Event, MessageError> {
    let Message { v, event } = serde_json::from_slice(line)?;
    if v == VERSION { Ok(event) } else { Err(MessageError::Version(v)) }
}

/// What a line on the guest's console means to the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker<'a> {
    /// A message for people.
    Notice(&'a str),
    /// Provisioning has ended well.
    Done,
    /// Provisioning has failed, and the diagnostics are on the console.
    Failed,
    /// The kernel reports that a CPU stands still.
    CpuStall,
}

/// Finds a marker in a line of the console. Other writers share the console, so a marker may follow other text.
pub fn marker(line: &str) -> Option<Marker<'_>> {
    let behind = line.split_once(markers::PROVISION).map(|(_, behind)| behind);
    if let Some(notice) = behind.and_then(|behind| behind.strip_prefix(": ")) {
        return Some(Marker::Notice(notice.trim_end()));
    }
    if line.contains(markers::PROVISION_DONE) {
        return Some(Marker::Done);
    }
    if line.contains(markers::PROVISION_FAILED) {
        return Some(Marker::Failed);
    }
    // Written by the kernel's RCU, with the name of its flavour before.
    line.contains("detected stalls on CPUs/tasks").then_some(Marker::CpuStall)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn written_lines_are_understood() {
        let step = || "30-database".to_owned();
        let lines = [
            (
                r#"{"v":1,"event":"start","step":"30-database","title":"Initialise PostgreSQL"}"#,
                Event::Start { step: step(), title: "Initialise PostgreSQL".into() },
            ),
            (
                r#"{"v":1,"event":"line","step":"30-database","text":"creating \"pg_hba\""}"#,
                Event::Line { step: step(), text: "creating \"pg_hba\"".into() },
            ),
            (
                r#"{"v":1,"event":"end","step":"30-database","seconds":1.25}"#,
                Event::End { step: step(), seconds: 1.25 },
            ),
            (
                r#"{"v":1,"event":"failed","step":"30-database","status":"exited with status 3","tail":["no"]}"#,
                Event::Failed {
                    step: step(),
                    status: "exited with status 3".into(),
                    tail: vec!["no".into()],
                },
            ),
            (r#"{"v":1,"event":"done"}"#, Event::Done),
        ];
        for (line, event) in lines {
            assert_eq!(parse(line.as_bytes()).unwrap(), event);
            assert_eq!(event.to_line(), format!("{line}\n"));
        }
    }

    #[test]
    fn a_message_of_another_version_is_refused_by_number() {
        let error = parse(br#"{"v":2,"event":"done"}"#).unwrap_err().to_string();
        assert_eq!(error, "a progress message of version 2, this program understands version 1");
    }

    #[test]
    fn markers_are_found_behind_what_others_print() {
        assert_eq!(marker("[ 12.3] STACK_PROVISION: Seeding\r"), Some(Marker::Notice("Seeding")));
        assert_eq!(marker("STACK_CLOUD_INIT_DONE"), Some(Marker::Done));
        assert_eq!(marker("x STACK_CLOUD_INIT_FAILED"), Some(Marker::Failed));
        let stall = "[   23.3] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:";
        assert_eq!(marker(stall), Some(Marker::CpuStall));
        assert_eq!(marker("Debian GNU/Linux 13"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let _ = marker(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn what_is_written_is_read_back(step in ".*", text in ".*") {
            let message = Message { v: VERSION, event: Event::Line { step, text } };
            let line = serde_json::to_string(&message).unwrap();
            prop_assert_eq!(parse(line.as_bytes()).unwrap(), message.event);
        }
    }
}
