//! `stackd container run`: the main process of a container's unit.
//!
//! It prepares what the container needs, starts its program, checks whether it works, and ends when the program has ended, with its exit
//! status: whether it is started again is for systemd to decide. Secrets that change while it runs are given to the container by
//! starting the program again, here and at once, if it has them in its environment; those in files are written again.

use std::{future::pending, pin::Pin, process::ExitCode, time::Duration};

use anyhow::Context as _;
use base::jumps::Jumps;
use protocol::containers::{Ready, Status};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::{
    find,
    health::{Record, Verdict},
    prepared::Prepared,
    program::{End, Program},
    root, runtime_dir,
    state::Kept,
};
use crate::{
    control::{Call, Order, Progress, Socket, not_taken},
    service::{self, Event, Events},
};

/// How long a program has to run after its restart until the restart is not reported any more.
const SETTLED: Duration = Duration::from_secs(10);

/// Runs the container `name` until it ends or systemd wants it to.
pub(super) fn run(name: &str) -> anyhow::Result<ExitCode> {
    service::start_logging();
    root::own_mounts()?;
    let control = Socket::bind()?;
    let container = find(name)?.with_context(|| format!("there is no container `{name}`"))?;
    let runtime = runtime_dir(name);
    let mut state = Kept::begin(&runtime);
    let prepared = Prepared::of(container, &runtime).inspect_err(|error| {
        state.set(Status::Failed, Some(crate::report(&**error)));
    })?;
    let status = service::run(async move {
        let mut supervisor = Supervisor::start(prepared, state).await?;
        supervisor.serve(control).await
    })??;
    Ok(ExitCode::from(status))
}

/// A check that is under way.
type Checking = Pin<Box<dyn Future<Output = Result<(), String>>>>;

/// A container that runs.
struct Supervisor {
    prepared: Prepared,
    state: Kept,
    program: Program,
    started: Instant,
    /// The results of its checks, if there are any.
    record: Option<Record>,
    /// When the next check begins; nothing while the container is drained or is being checked.
    next_check: Option<Instant>,
    checking: Option<Checking>,
    /// Until the machine is resumed, no check begins.
    drained: bool,
    /// Whether systemd knows that it has started.
    announced: bool,
}

impl Supervisor {
    async fn start(mut prepared: Prepared, mut state: Kept) -> anyhow::Result<Self> {
        let program = prepared.start().await.inspect_err(|error| {
            state.set(Status::Failed, Some(crate::report(&**error)));
        })?;
        let record = prepared.container().health.clone().map(Record::new);
        let mut supervisor = Self {
            prepared,
            state,
            program,
            started: Instant::now(),
            record,
            next_check: None,
            checking: None,
            drained: false,
            announced: false,
        };
        supervisor.has_started();
        Ok(supervisor)
    }

    /// Serves until the program has ended, and returns its exit status.
    async fn serve(&mut self, control: Socket) -> anyhow::Result<u8> {
        let mut events = Events::new(control)?;
        // A copy of the machine, or one that was suspended, is set to the time of its host.
        let mut jumps = Jumps::from_now();
        loop {
            let settles_at = self.settles_at();
            tokio::select! {
                end = self.program.ended() => return self.has_ended(end?).await,
                event = events.next() => match event {
                    Event::Stop => return self.stop().await,
                    Event::Hangup => service::announce_reload(async || self.reload_or_warn().await).await,
                    Event::Call(call) => self.answer(call).await,
                },
                () = jumps.next() => self.resume_checks(),
                () = until(self.next_check) => self.begin_check(),
                result = finished(&mut self.checking) => self.checked(result),
                () = until(settles_at) => self.state.set(Status::Running, None),
            }
        }
    }

    /// What is true of a program that was just started.
    fn has_started(&mut self) {
        self.started = Instant::now();
        self.checking = None;
        self.plan_check();
        if self.record.is_none() && self.state.status() != Status::Restarting {
            self.state.set(Status::Running, None);
        }
        if self.prepared.container().ready == Ready::Started {
            self.announce();
        }
    }

    fn announce(&mut self) {
        if !self.announced {
            self.announced = true;
            service::ready();
        }
    }

    /// When a restart that nothing checks has succeeded.
    fn settles_at(&self) -> Option<Instant> {
        let waits = self.record.is_none() && self.state.status() == Status::Restarting;
        waits.then(|| self.started + SETTLED)
    }

    async fn has_ended(&mut self, end: End) -> anyhow::Result<u8> {
        let status = if end == End::Exited(0) { Status::Completed } else { Status::Failed };
        self.state.set(status, Some(end.text()).filter(|_| status == Status::Failed));
        self.prepared.forget().await?;
        Ok(end.status())
    }

    async fn stop(&mut self) -> anyhow::Result<u8> {
        self.checking = None;
        self.prepared.stop(&self.program).await;
        self.state.set(Status::Stopped, None);
        self.prepared.forget().await?;
        Ok(0)
    }

    async fn answer(&mut self, call: Call) {
        let result = match call.order {
            Order::Drain => Ok(self.drain()),
            Order::Reload => self.reload().await.map(|()| Progress::Done),
            order @ (Order::Renew | Order::WarmUp | Order::Rehearse | Order::Flush | Order::Settle) => {
                Err(not_taken(order))
            }
        };
        call.answer(result).await;
    }

    /// Lets a check end, and begins no other one until the machine is resumed.
    fn drain(&mut self) -> Progress {
        self.drained = true;
        self.next_check = None;
        if self.checking.is_some() { Progress::Busy } else { Progress::Done }
    }

    /// Gives the container the session's secrets. Only a container that has others in its environment is started again.
    async fn reload(&mut self) -> anyhow::Result<()> {
        self.resume_checks();
        if !self.prepared.renew()? {
            return Ok(());
        }
        self.checking = None;
        self.prepared.stop(&self.program).await;
        self.program = self.prepared.start().await.inspect_err(|error| {
            self.state.set(Status::Failed, Some(crate::report(&**error)));
        })?;
        self.record = self.prepared.container().health.clone().map(Record::new);
        if self.record.is_some() {
            self.state.set(Status::Starting, None);
        }
        self.has_started();
        Ok(())
    }

    async fn reload_or_warn(&mut self) -> bool {
        let result = self.reload().await;
        result.inspect_err(|error| warn!("cannot reload: {}", crate::report(&**error))).is_ok()
    }

    /// The machine was resumed: checks continue, not at once, since everything else has priority.
    fn resume_checks(&mut self) {
        if self.drained {
            self.drained = false;
            self.plan_check();
        }
    }

    fn plan_check(&mut self) {
        let pause = self.record.as_ref().map(|record| record.pause(self.started.elapsed()));
        let is_possible = !self.drained && self.checking.is_none();
        self.next_check = pause.filter(|_| is_possible).map(|pause| Instant::now() + pause);
    }

    fn begin_check(&mut self) {
        self.next_check = None;
        if let Some(record) = &self.record {
            let limit = Duration::from_millis(record.health().timeout_ms);
            self.checking = Some(Box::pin(self.prepared.check(limit).run()));
        }
    }

    fn checked(&mut self, result: Result<(), String>) {
        self.checking = None;
        let since_start = self.started.elapsed();
        match self.record.as_mut().map(|record| record.take(result, since_start)) {
            Some(Verdict::Healthy) => {
                self.state.set(Status::Healthy, None);
                self.announce();
            }
            Some(Verdict::Unhealthy(reason)) => self.state.set(Status::Unhealthy, Some(reason)),
            Some(Verdict::Undecided) | None => {}
        }
        self.plan_check();
    }
}

/// Waits until `moment`, or for nothing.
async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// Waits for the check that is under way, if there is one.
async fn finished(checking: &mut Option<Checking>) -> Result<(), String> {
    match checking {
        Some(check) => check.await,
        None => pending().await,
    }
}
