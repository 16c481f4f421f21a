//! The guest's own agent, `stackd agent`: typed requests over a virtio-serial port of its own.
//!
//! It is a daemon that only waits for this, so it answers sooner than QEMU's guest agent, which forks. The messages are those of
//! crate `protocol`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::text::beginning;
use futures_util::{SinkExt, StreamExt};
use protocol::containers::State;
use protocol::{Answer, Command, Outcome, Request, Step};
use tokio::net::UnixStream;
use tokio_util::codec::{Framed, LinesCodec, LinesCodecError};

use crate::error::{Class, Explain};
use crate::qga::{Exec, Qga, QgaError};
use crate::wire::{self, Listener};

/// Longest answer in bytes.
const LINE_LIMIT: usize = 256 << 10;

/// Most steps of an answer that are looked at.
const STEPS_LIMIT: usize = 64;

/// Longest name of a step that is shown, in characters.
const STEP_LIMIT: usize = 64;

/// Longest reason of a failure that is shown, in characters.
const REASON_LIMIT: usize = 2000;

/// The program that does in the guest what the agent does, with the request on its stdin.
const RESUME_PROGRAM: &str = "/usr/lib/stack/stackd";

/// Its argument.
const RESUME_ARGUMENT: &str = "resume";

/// Why the agent does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The socket fails.
    #[error("cannot talk to the guest's agent at `{}`", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No answer in time: it does not run, or hangs.
    #[error("the guest's agent did not answer within {:.1} s", .0.as_secs_f64())]
    Silent(Duration),
    /// QEMU closed the connection.
    #[error("the channel of the guest's agent was closed")]
    Closed,
    /// The agent could not do it.
    #[error("the guest's agent failed at step `{step}`: {reason}")]
    Failed {
        /// The step.
        step: String,
        /// Why, in the agent's words.
        reason: String,
    },
    /// QEMU's guest agent, which was asked instead, did not help.
    #[error(transparent)]
    Qga(#[from] QgaError),
    /// The answer is none.
    #[error("the answer of the guest's agent makes no sense")]
    Answer(#[source] serde_json::Error),
}

impl Explain for AgentError {
    fn class(&self) -> Class {
        match self {
            Self::Silent(_) => Class::TimedOut,
            Self::Qga(source) => source.class(),
            _ => Class::Failed,
        }
    }
}

/// What the agent did.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// Its steps.
    pub steps: Vec<Step>,
    /// The guest's clock when it answered, in nanoseconds since 1970.
    pub time: u64,
    /// The states of the containers, where they were asked for.
    pub containers: BTreeMap<String, State>,
}

/// A connection to the agent.
#[derive(Debug)]
pub struct Agent {
    path: PathBuf,
    lines: Framed<UnixStream, LinesCodec>,
}

impl Agent {
    /// Connects to the socket at `path` as soon as QEMU listens there. That says nothing about the agent.
    ///
    /// # Errors
    /// When the socket cannot be connected to within `limit`.
    pub async fn connect(path: &Path, limit: Duration) -> Result<Self, AgentError> {
        Self::open(path, Listener::Starting, limit).await
    }

    /// Connects to the socket at `path` of a QEMU that has been running for a while: one that is not there is not waited for.
    ///
    /// # Errors
    /// When the socket is gone, and as [`Agent::connect`].
    pub async fn reach(path: &Path, limit: Duration) -> Result<Self, AgentError> {
        Self::open(path, Listener::Running, limit).await
    }

    async fn open(path: &Path, listener: Listener, limit: Duration) -> Result<Self, AgentError> {
        let error = |source| AgentError::Io { path: path.to_owned(), source };
        let stream =
            wire::within(limit, wire::open(path, listener)).await.ok_or(AgentError::Silent(limit))?;
        let codec = LinesCodec::new_with_max_length(LINE_LIMIT);
        let mut lines = Framed::new(stream.map_err(error)?, codec);
        // Ends what an earlier client may have left unfinished.
        lines.send("").await.map_err(|source| error(io_error(source)))?;
        Ok(Self { path: path.to_owned(), lines })
    }

    /// Has the agent do `command`, for at most `limit`.
    ///
    /// # Errors
    /// When it does not answer or could not do it.
    pub async fn call(&mut self, command: Command, limit: Duration) -> Result<Done, AgentError> {
        let request = Request::new(rand::random(), command);
        wire::within(limit, self.exchange(&request)).await.ok_or(AgentError::Silent(limit))?
    }

    async fn exchange(&mut self, request: &Request) -> Result<Done, AgentError> {
        let path = self.path.clone();
        let error = |source| AgentError::Io { path: path.clone(), source: io_error(source) };
        self.lines.send(encoded(request)).await.map_err(error)?;
        while let Some(line) = self.lines.next().await {
            // Everything else is the answer to a request that no one waits for any more.
            match line {
                Ok(line) => match serde_json::from_str::<Answer>(&line) {
                    Ok(answer) if answer.id == request.id => return done(answer),
                    _ => {}
                },
                Err(LinesCodecError::MaxLineLengthExceeded) => {}
                Err(source) => return Err(error(source)),
            }
        }
        Err(AgentError::Closed)
    }
}

/// Has QEMU's guest agent run the program that does what the agent would.
///
/// # Errors
/// When that agent does not answer either, or the program fails.
pub async fn call_through_qga(qga: &Path, command: Command, limit: Duration) -> Result<Done, AgentError> {
    let request = Request::new(rand::random(), command);
    let exec = Exec::new(RESUME_PROGRAM).args([RESUME_ARGUMENT]).stdin(encoded(&request));
    let completed = Qga::new(qga).exec(&exec, limit).await?;
    match serde_json::from_slice::<Answer>(&completed.stdout) {
        // A program that failed says so in its answer, and by its status.
        Ok(answer) if matches!(answer.outcome, Outcome::Failed { .. }) => done(answer),
        Ok(answer) => completed.success().map_err(AgentError::from).and_then(|_| done(answer)),
        Err(source) => Err(completed.success().err().map_or(AgentError::Answer(source), AgentError::from)),
    }
}

/// The host's time in nanoseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn encoded(request: &Request) -> String {
    serde_json::to_string(request).expect("requests serialise to JSON")
}

fn done(answer: Answer) -> Result<Done, AgentError> {
    match answer.outcome {
        Outcome::Done { mut steps, time, mut containers } => {
            steps.truncate(STEPS_LIMIT);
            for state in containers.values_mut() {
                state.reason =
                    state.reason.as_deref().map(|reason| beginning(reason, REASON_LIMIT).into_owned());
            }
            Ok(Done { steps, time, containers })
        }
        Outcome::Failed { step, reason } => Err(AgentError::Failed {
            step: beginning(&step, STEP_LIMIT).into_owned(),
            reason: beginning(&reason, REASON_LIMIT).into_owned(),
        }),
    }
}

fn io_error(error: LinesCodecError) -> io::Error {
    match error {
        LinesCodecError::Io(source) => source,
        LinesCodecError::MaxLineLengthExceeded => io::ErrorKind::InvalidData.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    use tokio::net::UnixListener;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    struct Guest {
        dir: tempfile::TempDir,
        listener: UnixListener,
    }

    impl Guest {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let listener = UnixListener::bind(dir.path().join("agent")).unwrap();
            Self { dir, listener }
        }

        fn path(&self) -> PathBuf {
            self.dir.path().join("agent")
        }

        /// Answers one request with what `answer` makes of its id.
        async fn answer(&self, answer: impl Fn(u64) -> String) {
            let (stream, _) = self.listener.accept().await.unwrap();
            let mut lines = BufReader::new(stream).lines();
            assert_eq!(
                lines.next_line().await.unwrap().unwrap(),
                "",
                "a connection begins with an empty line"
            );
            let request: Request = serde_json::from_str(&lines.next_line().await.unwrap().unwrap()).unwrap();
            let text = answer(request.id);
            lines.into_inner().into_inner().write_all(text.as_bytes()).await.unwrap();
        }
    }

    async fn called(answer: impl Fn(u64) -> String) -> Result<Done, AgentError> {
        let guest = Guest::new();
        let path = guest.path();
        let call = async {
            let mut agent = Agent::connect(&path, SOON).await?;
            agent.call(Command::Hello, Duration::from_millis(500)).await
        };
        tokio::join!(call, guest.answer(answer)).0
    }

    #[tokio::test]
    async fn garbage_and_answers_to_other_requests_are_passed_over() {
        let done = called(|id| {
            format!(
                "half an ans\n{{\"v\":1,\"id\":{},\"outcome\":\"done\",\"steps\":[],\"time\":1}}\n\
                 {{\"v\":1,\"id\":{id},\"outcome\":\"done\",\"steps\":[],\"time\":2}}\n",
                id.wrapping_add(1)
            )
        });
        assert_eq!(done.await.unwrap().time, 2);
    }

    #[tokio::test]
    async fn a_failed_step_is_named_with_its_reason() {
        let error = called(|id| {
            format!(
                "{{\"v\":1,\"id\":{id},\"outcome\":\"failed\",\"step\":\"secrets\",\"reason\":\"no database\"}}\n"
            )
        });
        assert_eq!(
            error.await.unwrap_err().to_string(),
            "the guest's agent failed at step `secrets`: no database"
        );
    }

    #[test]
    fn what_an_agent_says_is_looked_at_as_far_as_it_can_be_told() {
        let step = Step { step: "clock".into(), seconds: 0.1 };
        let answer =
            Answer::new(1, Outcome::Done { steps: vec![step; 1000], time: 1, containers: BTreeMap::new() });
        assert_eq!(done(answer).unwrap().steps.len(), STEPS_LIMIT);
        let long = Outcome::Failed { step: "s".repeat(1000), reason: "r".repeat(100_000) };
        assert!(done(Answer::new(1, long)).unwrap_err().to_string().chars().count() < 2200);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic_or_speaks_to_the_terminal(
            bytes: Vec<u8>,
            step: String,
            reason: String,
            seconds: f64,
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        ) {
            let failed = Answer::new(7, Outcome::Failed { step: step.clone(), reason });
            let steps = vec![Step { step, seconds }];
            let finished = Answer::new(7, Outcome::Done { steps, time: u64::MAX, containers: BTreeMap::new() });
            let texts = [bytes, serde_json::to_vec(&failed).unwrap(), serde_json::to_vec(&finished).unwrap()];
            for mut text in texts {
                if !text.is_empty() {
                    for (at, byte) in &changes {
                        let at = at.index(text.len());
                        text[at] = *byte;
                    }
                }
                let Ok(answer) = serde_json::from_slice::<Answer>(&text) else { continue };
                if let Err(error) = done(answer) {
                    let shown = base::console::render_error(&error, None, false);
                    prop_assert!(!shown.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')));
                }
            }
        }
    }

    #[tokio::test]
    async fn an_agent_that_closes_or_says_nothing_is_an_error() {
        assert!(matches!(called(|_| String::new()).await.unwrap_err(), AgentError::Closed));
        let guest = Guest::new();
        let mut agent = Agent::connect(&guest.path(), SOON).await.unwrap();
        let silent = agent.call(Command::Hello, Duration::from_millis(20)).await.unwrap_err();
        assert!(matches!(silent, AgentError::Silent(_)), "{silent}");
    }
}
