//! Commands inside the guest, through its agent. They are the tests' own way in: the product needs none of them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base::wait;
use instances::instance::live::Live;
use protocol::Command;
use vm::agent::Agent;
use vm::qga::{Exec, Qga};
use vm::qmp::Qmp;

/// Longest time that a command may take under software emulation.
const LIMIT: Duration = Duration::from_mins(1);

/// What an agent that is there answers within.
const SOON: Duration = Duration::from_secs(3);

/// How often the clocks are compared; the comparison that took the least time counts.
const COMPARISONS: usize = 5;

/// How long one comparison may take.
const COMPARISON_LIMIT: Duration = Duration::from_secs(10);

/// A running guest.
#[derive(Debug)]
pub struct Guest {
    live: Live,
}

impl Guest {
    /// The guest of a running instance.
    pub fn new(live: Live) -> Self {
        Self { live }
    }

    /// Runs a shell script as root and gives its stdout.
    ///
    /// # Panics
    /// When the agent does not answer or the script does not exit with status 0.
    pub async fn sh(&self, script: &str) -> String {
        self.output(&Exec::new("/bin/sh").args(["-c", script]), script).await
    }

    /// Runs an SQL query in the stack's database and gives its rows, columns separated by `|`.
    ///
    /// # Panics
    /// As [`Guest::sh`].
    pub async fn sql(&self, query: &str) -> String {
        let psql = ["-u", "postgres", "--", "psql", "-d", "stack", "-qtA", "-v", "ON_ERROR_STOP=1"];
        self.output(&Exec::new("/usr/sbin/runuser").args(psql).stdin(query), query).await
    }

    async fn output(&self, exec: &Exec, what: &str) -> String {
        let mut qga = Qga::new(&self.live.machine.qga);
        qga.ready(LIMIT).await.expect("the guest agent answers");
        let completed = qga.exec(exec, LIMIT).await.unwrap_or_else(|error| panic!("`{what}`: {error:?}"));
        let stdout = completed.success().unwrap_or_else(|error| panic!("`{what}`: {error}"));
        String::from_utf8(stdout).expect("the script prints UTF-8").trim_end().to_owned()
    }

    /// Runs a short shell script in a guest that may be paused before it has answered.
    pub(crate) async fn try_sh(&self, script: &str) {
        let mut qga = Qga::new(&self.live.machine.qga);
        if qga.ready(LIMIT).await.is_ok() {
            let _ = qga.exec(&Exec::new("/bin/sh").args(["-c", script]), SOON).await;
        }
    }

    /// Starts a shell script that takes the guest agent itself away, and waits until it is gone.
    ///
    /// # Panics
    /// When the agent still answers after a while.
    pub async fn cut_off(&self, script: &str) {
        let mut qga = Qga::new(&self.live.machine.qga);
        qga.ready(LIMIT).await.expect("the guest agent answers");
        // The answer is lost with the agent that should give it.
        let _ = qga.exec(&Exec::new("/bin/sh").args(["-c", script]), SOON).await;
        let silent = async || Qga::new(&self.live.machine.qga).ready(SOON).await.is_err().then_some(());
        wait::until(LIMIT, silent).await.expect("the guest agent goes");
    }

    /// The largest difference that its clock and the host's can have, by the quickest of a few comparisons.
    ///
    /// # Panics
    /// When the agent does not answer.
    pub async fn clock_difference(&self) -> Duration {
        let mut agent = self.agent().await;
        let mut best: Option<(Duration, Duration)> = None;
        for _ in 0..COMPARISONS {
            let before = SystemTime::now();
            let answer = agent.call(Command::Hello, COMPARISON_LIMIT).await;
            let after = SystemTime::now();
            let there = UNIX_EPOCH + Duration::from_nanos(answer.expect("the guest's agent answers").time);
            let apart =
                |a: SystemTime, b: SystemTime| a.duration_since(b).unwrap_or_else(|error| error.duration());
            let taken = apart(after, before);
            let found = apart(there, before).max(apart(there, after));
            if best.is_none_or(|(shortest, _)| taken < shortest) {
                best = Some((taken, found));
            }
        }
        best.expect("they were compared").1
    }

    /// A connection to the stack's own agent.
    ///
    /// # Panics
    /// When there is nothing to connect to.
    pub async fn agent(&self) -> Agent {
        Agent::connect(&self.live.machine.agent, LIMIT).await.expect("QEMU listens for the agent")
    }

    /// The monitor of its QEMU.
    ///
    /// # Panics
    /// When it does not greet.
    pub async fn monitor(&self) -> Qmp {
        Qmp::connect(&self.live.machine.qmp, LIMIT).await.expect("QEMU's monitor greets")
    }
}
