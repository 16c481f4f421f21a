//! The resident agent: it carries out what the host requests when it resumes, captures or suspends the machine.
//!
//! It starts before the rest of the stack, keeps what it needs in memory, and starts no process for a resume: under software
//! emulation a program's start alone takes as long as all of its work.

mod accounts;
mod clock;
mod conversation;
mod entropy;
mod exec;
mod hooks;
mod lock;
mod memory;
mod orders;
mod port;
mod prepare;
mod rehearsal;
mod resume;
mod session_env;
mod steps;
mod units;

use std::{
    collections::BTreeMap,
    io::{Read as _, Write as _},
    path::Path,
};

use anyhow::{Context as _, bail};
use protocol::{Answer, Command, Outcome, Request};
use tracing::warn;

use self::{
    conversation::Line,
    exec::Door,
    orders::Orders,
    port::Port,
    steps::{Failure, Steps},
};
use crate::{container, report, service};

/// The directory in which `/init`, or else udev, names the ports.
const PORTS: &str = "/dev/virtio-ports";

/// Runs the agent, which ends only with an error.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    if let Err(error) = lock::on_use() {
        warn!("cannot keep the agent in memory: {error}");
    }
    let agent = Agent::new()?;
    service::run(async move {
        let path = Path::new(PORTS).join(protocol::names::ports::AGENT);
        let mut port = Port::open(&path).with_context(|| format!("cannot open `{}`", path.display()))?;
        loop {
            let line = port.line().await.context("cannot wait for the port")?;
            if let Some(answer) = agent.answer(&line).await {
                port.send(&conversation::to_line(&answer)).await;
                log_failure(&answer);
                agent.orders.note_running();
            }
        }
    })?
}

/// Carries out the one request on stdin: QEMU's guest agent runs this where the resident one is dead. The answer goes to stdout,
/// and nothing else does.
pub(crate) fn run_once() -> anyhow::Result<()> {
    let mut input = String::new();
    let mut stdin = std::io::stdin().lock().take(conversation::LONGEST_LINE as u64);
    stdin.read_to_string(&mut input).context("cannot read the request from stdin")?;
    let line = input.lines().find(|line| !line.is_empty()).context("there is no request on stdin")?;
    let agent = Agent::new()?;
    let answer = service::run(agent.answer(line))?.context("invalid request on stdin")?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(conversation::to_line(&answer).as_bytes()).context("cannot write the answer")?;
    match answer.outcome {
        Outcome::Done { .. } => Ok(()),
        Outcome::Failed { step, reason } => bail!("{step}: {reason}"),
    }
}

/// The state that is kept from one request to the next.
struct Agent {
    orders: Orders,
    session: session_env::Place,
    door: Door,
}

impl Agent {
    fn new() -> anyhow::Result<Self> {
        let session = session_env::Place::find()?;
        Ok(Self { orders: Orders::load()?, session, door: Door::default() })
    }

    async fn answer(&self, line: &str) -> Option<Answer> {
        match Line::parse(line) {
            Line::Empty => None,
            Line::Garbage => {
                warn!("skipped {} bytes that are not a request", line.len());
                None
            }
            Line::Refused(answer) => Some(answer),
            Line::Request(request) => Some(self.carry_out(request).await),
        }
    }

    async fn carry_out(&self, request: Request) -> Answer {
        let (mut steps, mut containers) = (Steps::default(), BTreeMap::new());
        let result = match request.command {
            Command::Hello => Ok(()),
            Command::Ready => prepare::ready(&self.orders, &mut steps).await,
            Command::Prepare => prepare::prepare(&self.orders, &mut steps).await,
            Command::Resume(message) => {
                resume::resume(&self.orders, &self.session, *message, &mut steps).await
            }
            Command::Clock { time } => steps.run("clock", async { clock::follow(time) }).await,
            Command::Sync => steps.run("sync", async { sync() }).await,
            Command::Containers => {
                containers = container::state::all(self.orders.services());
                Ok(())
            }
            Command::Settle => steps.run("settle", self.orders.settle()).await,
            Command::Exec { token } => steps.run("expect", async { self.door.expect(token) }).await,
        };
        let outcome = match result {
            Ok(()) => Outcome::Done { steps: steps.into(), time: clock::now(), containers },
            Err(Failure { step, error }) => {
                Outcome::Failed { step: step.to_owned(), reason: report(&*error) }
            }
        };
        Answer::new(request.id, outcome)
    }
}

/// Only the host records successes: in a resumed machine every line of the journal takes time, and in one that is about to be
/// captured it would be written in every copy.
fn log_failure(Answer { id, outcome, .. }: &Answer) {
    if let Outcome::Failed { step, reason } = outcome {
        warn!(id, step, "{reason}");
    }
}

/// Writes everything to the disk.
#[expect(clippy::unnecessary_wraps, reason = "a step gives a result")]
fn sync() -> anyhow::Result<()> {
    rustix::fs::sync();
    Ok(())
}
