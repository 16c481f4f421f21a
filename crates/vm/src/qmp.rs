//! The monitor: QEMU's machine protocol, typed.
//!
//! Reference: QEMU's documentation, "QEMU QMP Reference Manual".

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::files::FileError;
use qapi::qmp;
pub use qapi::qmp::{Event, RunState};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};
use tokio::task::AbortHandle;

use crate::error::{Class, Explain};
use crate::machine::NETDEV;
use crate::process::VmProcessError;
use crate::version::Version;
use crate::wire::{self, Answer, Listener, Message, Receiver, Sender};

/// How long QEMU may take to answer a command. Most take a millisecond; a loaded host is not a reason to give up.
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// Events that are kept for a subscriber that does not look.
const EVENTS_KEPT: usize = 256;

/// Why the monitor does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The process behind it ended.
    #[error(transparent)]
    Process(#[from] VmProcessError),
    /// The socket cannot be connected to.
    #[error("cannot talk to QEMU's monitor at `{}`", path.display())]
    Connect {
        /// The socket.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No greeting in time.
    #[error("QEMU's monitor at `{}` did not greet within {:.1} s", path.display(), limit.as_secs_f64())]
    NoGreeting {
        /// The socket.
        path: PathBuf,
        /// How long was waited.
        limit: Duration,
    },
    /// No answer in time.
    #[error("QEMU did not answer `{command}` within {:.1} s", limit.as_secs_f64())]
    NoAnswer {
        /// The command.
        command: &'static str,
        /// How long was waited.
        limit: Duration,
    },
    /// QEMU closed the connection.
    #[error("QEMU closed its monitor before it answered `{0}`")]
    Closed(&'static str),
    /// QEMU answered with an error.
    #[error("QEMU refused `{command}`: {reason}")]
    Refused {
        /// The command.
        command: String,
        /// Why, in QEMU's words.
        reason: String,
    },
    /// A file that QEMU is to write cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
    /// QEMU takes the paths of some files as text only.
    #[error("`{}` is not valid UTF-8, and QEMU takes no other name for this file", .0.display())]
    Path(PathBuf),
    /// The answer is not of the type that QEMU's schema gives.
    #[error("QEMU's answer to `{command}` makes no sense")]
    Answer {
        /// The command.
        command: &'static str,
        /// What is wrong with it.
        #[source]
        source: serde_json::Error,
    },
}

impl Explain for QmpError {
    fn class(&self) -> Class {
        match self {
            Self::Process(source) => source.class(),
            Self::NoGreeting { .. } | Self::NoAnswer { .. } => Class::TimedOut,
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Process(source) => source.hint(),
            Self::File(source) => source.hint(),
            Self::NoGreeting { .. } => Some(
                "the monitor takes one client at a time: end whatever else is connected to it".to_owned(),
            ),
            _ => None,
        }
    }
}

/// A TCP port of the host's loopback interface that leads to a port of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward {
    /// Address on the host, of which connections are taken.
    pub address: Ipv4Addr,
    /// Port on the host.
    pub host: u16,
    /// Port in the guest.
    pub guest: u16,
}

impl Forward {
    /// A forward from `127.0.0.1`.
    pub const fn loopback(host: u16, guest: u16) -> Self {
        Self { address: Ipv4Addr::LOCALHOST, host, guest }
    }
}

/// A connection to the monitor. Several calls may be under way at once.
#[derive(Debug)]
pub struct Qmp {
    sender: tokio::sync::Mutex<Sender>,
    shared: Arc<Mutex<Shared>>,
    next_id: AtomicU64,
    version: Version,
    reader: AbortHandle,
}

/// What the calls and the task that reads have in common. Both senders are dropped when the connection is closed, which
/// is what their receivers notice it by.
#[derive(Debug)]
struct Shared {
    calls: Option<HashMap<u64, oneshot::Sender<Answer>>>,
    events: Option<broadcast::Sender<Event>>,
}

impl Drop for Qmp {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

/// The events of one connection from the moment of the subscription on.
#[derive(Debug)]
pub struct Events(Option<broadcast::Receiver<Event>>);

impl Events {
    /// The next event, or `None` when the connection is closed. Safe to drop and call again.
    pub async fn next(&mut self) -> Option<Event> {
        let receiver = self.0.as_mut()?;
        loop {
            match receiver.recv().await {
                Ok(event) => return Some(event),
                // A subscriber that did not look for hundreds of events has lost the oldest.
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }
}

impl Qmp {
    /// Connects to the socket at `path`, waiting until a process listens there, and leaves negotiation mode. With a
    /// process that was just started, do this inside [`Launched::race`](crate::process::Launched::race), so that its
    /// early end is reported with the end of its log.
    ///
    /// # Errors
    /// When there is no greeting within `limit`, or something else than QEMU answers.
    pub async fn connect(path: &Path, limit: Duration) -> Result<Self, QmpError> {
        Self::greeted_within(path, Listener::Starting, limit).await
    }

    /// Connects to the socket at `path` of a QEMU that has been running for a while, as [`Qmp::connect`] does, but without
    /// waiting for a socket that is not there.
    ///
    /// # Errors
    /// When the socket is gone, and as [`Qmp::connect`].
    pub async fn reach(path: &Path, limit: Duration) -> Result<Self, QmpError> {
        Self::greeted_within(path, Listener::Running, limit).await
    }

    async fn greeted_within(path: &Path, listener: Listener, limit: Duration) -> Result<Self, QmpError> {
        let no_greeting = || QmpError::NoGreeting { path: path.to_owned(), limit };
        wire::within(limit, Self::greeted(path, listener)).await.ok_or_else(no_greeting)?
    }

    async fn greeted(path: &Path, listener: Listener) -> Result<Self, QmpError> {
        let error = |source| QmpError::Connect { path: path.to_owned(), source };
        let (sender, mut receiver) = wire::connect(path, listener).await.map_err(error)?;
        let version = loop {
            match receiver.next().await.map_err(error)? {
                Some(Message::Other(value)) => {
                    if let Ok(greeting) = qmp::QapiCapabilities::deserialize(value) {
                        break Version::from(&greeting.QMP.version);
                    }
                }
                Some(Message::Answer(..)) => {}
                None => return Err(QmpError::Closed("greeting")),
            }
        };
        let shared =
            Shared { calls: Some(HashMap::new()), events: Some(broadcast::Sender::new(EVENTS_KEPT)) };
        let shared = Arc::new(Mutex::new(shared));
        let reader = tokio::spawn(read(receiver, Arc::clone(&shared))).abort_handle();
        let sender = tokio::sync::Mutex::new(sender);
        let client = Self { sender, shared, next_id: AtomicU64::new(1), version, reader };
        client.execute(qmp::qmp_capabilities { enable: None }).await?;
        Ok(client)
    }

    /// QEMU's version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Subscribes to events.
    pub fn events(&self) -> Events {
        Events(lock(&self.shared).events.as_ref().map(broadcast::Sender::subscribe))
    }

    /// Runs one command of QEMU's schema, for at most 10 s.
    ///
    /// # Errors
    /// When QEMU refuses it, is gone, or does not answer.
    pub async fn execute<C: qmp::QmpCommand>(&self, command: C) -> Result<C::Ok, QmpError> {
        self.execute_within(command, CALL_LIMIT).await
    }

    /// Runs one command of QEMU's schema, for at most `limit`.
    ///
    /// # Errors
    /// When QEMU refuses it, is gone, or does not answer.
    pub async fn execute_within<C: qmp::QmpCommand>(
        &self,
        command: C,
        limit: Duration,
    ) -> Result<C::Ok, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        match &mut lock(&self.shared).calls {
            Some(calls) => calls.insert(id, answered),
            None => return Err(QmpError::Closed(C::NAME)),
        };
        let exchange = async {
            self.sender.lock().await.send(command, Some(id)).await.ok()?;
            answer.await.ok()
        };
        let outcome = wire::within(limit, exchange).await;
        if let Some(calls) = &mut lock(&self.shared).calls {
            calls.remove(&id);
        }
        let answer = outcome.ok_or(QmpError::NoAnswer { command: C::NAME, limit })?;
        decoded(C::NAME, answer.ok_or(QmpError::Closed(C::NAME))?)
    }

    /// What the machine is doing.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn status(&self) -> Result<RunState, QmpError> {
        Ok(self.execute(qmp::query_status {}).await?.status)
    }

    /// Lets the virtual CPUs run.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn cont(&self) -> Result<(), QmpError> {
        self.execute(qmp::cont {}).await.map(drop)
    }

    /// Stops the virtual CPUs.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn stop(&self) -> Result<(), QmpError> {
        self.execute(qmp::stop {}).await.map(drop)
    }

    /// The id of the thread that runs the first processor, by which the kernel knows whether QEMU has ended.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn processor_thread(&self) -> Result<Option<i64>, QmpError> {
        let processors = self.execute(qmp::query_cpus_fast {}).await?;
        Ok(processors.first().and_then(|processor| match processor {
            qmp::CpuInfoFast::x86_64(it) | qmp::CpuInfoFast::aarch64(it) => Some(it.thread_id),
            _ => None,
        }))
    }

    /// Ends QEMU, whatever the guest is doing; its disks are flushed.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn quit(&self) -> Result<(), QmpError> {
        match self.execute(qmp::quit {}).await {
            // It may be gone before the answer is read, which is what was asked for.
            Ok(_) | Err(QmpError::Closed(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Presses the power button: the guest is asked to shut down.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn system_powerdown(&self) -> Result<(), QmpError> {
        self.execute(qmp::system_powerdown {}).await.map(drop)
    }

    /// Has the virtio-serial port with the back end `chardev` listen at `path` again, where its socket was. The machine must be
    /// running.
    ///
    /// # Errors
    /// As [`Qmp::execute`].
    pub async fn listen_again(&self, chardev: &str, path: &Path) -> Result<(), QmpError> {
        let path = path.to_str().ok_or_else(|| QmpError::Path(path.to_owned()))?.to_owned();
        let unix = qmp::UnixSocketAddress { path, abstract_: None, tight: None };
        let socket = qmp::ChardevSocket {
            addr: qmp::SocketAddressLegacy::unix(unix.into()),
            server: Some(true),
            wait: Some(false),
            base: qmp::ChardevCommon { logfile: None, logappend: None },
            nodelay: None,
            reconnect: None,
            telnet: None,
            tls_authz: None,
            tls_creds: None,
            tn3270: None,
            websocket: None,
        };
        let nothing = qmp::ChardevCommon { logfile: None, logappend: None };
        // Through nothing: QEMU removes the old socket after it has made the new one, and they have one path.
        for backend in [qmp::ChardevBackend::null(nothing.into()), qmp::ChardevBackend::socket(socket.into())]
        {
            self.execute(qmp::chardev_change { id: chardev.to_owned(), backend }).await?;
        }
        Ok(())
    }

    /// Opens a port on the host that leads into the guest.
    ///
    /// # Errors
    /// When QEMU refuses, as for a port that is in use.
    pub async fn add_forward(&self, forward: Forward) -> Result<(), QmpError> {
        let Forward { address, host, guest } = forward;
        self.human(format!("hostfwd_add {NETDEV} tcp:{address}:{host}-:{guest}"), "").await
    }

    /// Has QEMU listen at the unix socket `path`, which is not there yet, and forward its connections to a port of the guest. QEMU takes
    /// the path's first hyphen for its end, and before 10.1 no path at all.
    ///
    /// # Errors
    /// When QEMU refuses.
    pub async fn add_unix_forward(&self, path: &Path, guest: u16) -> Result<(), QmpError> {
        self.human(format!("hostfwd_add {NETDEV} unix:{}-:{guest}", path.display()), "").await
    }

    /// Closes a port that [`Qmp::add_forward`] has opened. Connections through it stay.
    ///
    /// # Errors
    /// When there is no such forward.
    pub async fn remove_forward(&self, forward: Forward) -> Result<(), QmpError> {
        let rule = format!("tcp:{}:{}", forward.address, forward.host);
        let success = format!("host forwarding rule for {rule} removed");
        self.human(format!("hostfwd_remove {NETDEV} {rule}"), &success).await
    }

    /// Runs a command that exists for people only and says by its text alone whether it worked.
    async fn human(&self, command_line: String, success: &str) -> Result<(), QmpError> {
        let command = qmp::human_monitor_command { command_line: command_line.clone(), cpu_index: None };
        let text = self.execute(command).await?;
        if text.trim() == success {
            return Ok(());
        }
        Err(QmpError::Refused { command: command_line, reason: text.trim().to_owned() })
    }
}

/// Hands answers to their callers and events to the subscribers until the connection is closed.
async fn read(mut receiver: Receiver, shared: Arc<Mutex<Shared>>) {
    while let Ok(Some(message)) = receiver.next().await {
        let mut shared = lock(&shared);
        match message {
            Message::Answer(Some(id), answer) => {
                // No one waits for an answer that arrives after its deadline.
                if let Some(call) = shared.calls.as_mut().and_then(|calls| calls.remove(&id)) {
                    let _ = call.send(answer);
                }
            }
            Message::Other(value) => publish(&shared, value),
            Message::Answer(None, _) => {}
        }
    }
    *lock(&shared) = Shared { calls: None, events: None };
}

fn publish(shared: &Shared, value: Value) {
    // An event that the schema does not know is none that anybody could wait for.
    if let (Some(events), Ok(event)) = (&shared.events, Event::deserialize(value)) {
        // Without a subscriber there is no one to notify.
        let _ = events.send(event);
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn decoded<T: DeserializeOwned>(command: &'static str, answer: Answer) -> Result<T, QmpError> {
    match answer {
        Answer::Return(value) => {
            serde_json::from_value(value).map_err(|source| QmpError::Answer { command, source })
        }
        Answer::Error(reason) => Err(QmpError::Refused { command: command.to_owned(), reason }),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use base::process::Cmd;

    use super::*;
    use crate::process::Launched;
    use fake_monitor::{GREETING, Server, Step, answer, monitor_opening, say};

    const SOON: Duration = Duration::from_secs(5);
    const SHORT: Duration = Duration::from_millis(50);

    /// A monitor that opens and then follows `steps`.
    fn monitor(steps: impl IntoIterator<Item = Step>) -> Server {
        Server::start(vec![monitor_opening().into_iter().chain(steps).collect()])
    }

    async fn client(server: &Server) -> Qmp {
        Qmp::connect(&server.path(), SOON).await.unwrap()
    }

    const RUNNING: &str =
        r#"{"return": {"status": "running", "singlestep": false, "running": true}, "id": 2}"#;

    #[tokio::test]
    async fn the_version_is_read_from_the_greeting() {
        let server = monitor([]);
        assert_eq!(client(&server).await.version(), Version::new(10, 2, 2));
    }

    #[tokio::test]
    async fn a_client_waits_for_a_monitor_that_is_not_there_yet() {
        let server = monitor([]);
        let (path, later) = (server.path(), server.dir().join("later"));
        let connect = Qmp::connect(&later, SOON);
        let (client, ()) = tokio::join!(connect, async {
            tokio::task::yield_now().await;
            std::fs::rename(&path, &later).unwrap();
        });
        client.unwrap();
    }

    #[tokio::test]
    async fn garbage_and_unknown_messages_between_answers_are_passed_over() {
        let server = monitor([
            Step::Hear("query-status"),
            Step::Say(
                b"not json\n\xff\xfe\n\n{\"event\": \"FROM_THE_FUTURE\", \"data\": 1}\n[1, 2]\n".to_vec(),
            ),
            say(RUNNING),
        ]);
        assert_eq!(client(&server).await.status().await.unwrap(), RunState::running);
    }

    #[tokio::test]
    async fn an_answer_after_its_deadline_is_not_taken_for_the_next_ones() {
        let server = monitor([
            Step::Hear("query-status"),
            Step::Hear("query-status"),
            say(r#"{"return": {"status": "paused", "singlestep": false, "running": false}, "id": 2}"#),
            say(&RUNNING.replace("\"id\": 2", "\"id\": 3")),
        ]);
        let qmp = client(&server).await;
        let late = qmp.execute_within(qmp::query_status {}, SHORT).await.unwrap_err();
        assert_eq!(late.to_string(), "QEMU did not answer `query-status` within 0.1 s");
        assert_eq!(late.class(), Class::TimedOut);
        assert_eq!(qmp.status().await.unwrap(), RunState::running);
    }

    #[tokio::test]
    async fn a_monitor_that_never_greets_is_given_up_at_the_deadline() {
        let server = Server::start(vec![vec![]]);
        let start = Instant::now();
        let error = Qmp::connect(&server.path(), SHORT).await.unwrap_err();
        assert!(matches!(error, QmpError::NoGreeting { .. }), "{error}");
        assert!(start.elapsed() < SOON);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_off_ends_the_calls_that_wait() {
        let steps = vec![
            say(GREETING),
            answer("qmp_capabilities", r#"{"return": {}, "id": 1}"#),
            Step::Hear("query-status"),
        ];
        let server = Server::start(vec![steps, vec![]]);
        let qmp = client(&server).await;
        assert!(matches!(qmp.status().await, Err(QmpError::Closed("query-status"))));
        assert!(matches!(qmp.cont().await, Err(QmpError::Closed("cont"))));
        assert_eq!(qmp.events().next().await.map(drop), None);
    }

    #[tokio::test]
    async fn quitting_is_done_when_the_connection_closes() {
        let steps =
            vec![say(GREETING), answer("qmp_capabilities", r#"{"return": {}, "id": 1}"#), Step::Hear("quit")];
        let server = Server::start(vec![steps, vec![]]);
        client(&server).await.quit().await.unwrap();
    }

    #[tokio::test]
    async fn a_refusal_carries_the_words_of_qemu() {
        let refusal = r#"{"error": {"class": "SomethingNew", "desc": "not now"}, "id": 2}"#;
        let server = monitor([answer("cont", refusal)]);
        let error = client(&server).await.cont().await.unwrap_err();
        assert_eq!(error.to_string(), "QEMU refused `cont`: not now");
    }

    #[tokio::test]
    async fn an_answer_of_another_shape_is_an_error() {
        let server = monitor([answer("query-status", r#"{"return": 42, "id": 2}"#)]);
        let error = client(&server).await.status().await.unwrap_err();
        assert!(matches!(error, QmpError::Answer { command: "query-status", .. }), "{error}");
    }

    #[tokio::test]
    async fn a_forward_is_open_only_when_the_monitor_says_nothing() {
        let busy =
            r#"{"return": "Could not set up host forwarding rule 'tcp:127.0.0.1:80-:8102'\r\n", "id": 3}"#;
        let server = monitor([
            fake_monitor::answer_with("human-monitor-command", |command| {
                assert_eq!(
                    command["arguments"]["command-line"],
                    "hostfwd_add net0 tcp:127.0.0.1:26701-:8102"
                );
                r#"{"return": "", "id": 2}"#.to_owned()
            }),
            answer("human-monitor-command", busy),
        ]);
        let qmp = client(&server).await;
        qmp.add_forward(Forward::loopback(26701, 8102)).await.unwrap();
        let error = qmp.add_forward(Forward::loopback(80, 8102)).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "QEMU refused `hostfwd_add net0 tcp:127.0.0.1:80-:8102`: Could not set up host forwarding rule \
             'tcp:127.0.0.1:80-:8102'"
        );
    }

    #[tokio::test]
    async fn events_reach_every_subscriber() {
        let shutdown = r#"{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}"#;
        let server = monitor([Step::Hear("cont"), say(shutdown), say(r#"{"return": {}, "id": 2}"#)]);
        let qmp = client(&server).await;
        let (mut one, mut two) = (qmp.events(), qmp.events());
        qmp.cont().await.unwrap();
        for events in [&mut one, &mut two] {
            let event = events.next().await.unwrap();
            assert!(matches!(event, Event::SHUTDOWN { ref data, .. } if data.guest), "{event:?}");
        }
    }

    #[tokio::test]
    async fn a_process_that_dies_before_it_listens_is_told_with_its_log() {
        let dir = tempfile::tempdir().unwrap();
        let command = Cmd::new("sh").arg("-c").arg("echo 'no such machine' >&2; exit 1");
        let mut launched = Launched::start(&command, &dir.path().join("log")).unwrap();
        let error = launched.race(Qmp::connect(&dir.path().join("qmp"), SOON)).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("QEMU exited with status 1: no such machine; its log is `"), "{text}");
    }
}
