//! Commands inside the guest, through its agent. They are the tests' own way in: the product needs none of them.

use std::time::Duration;

use vm::instance::live::Live;
use vm::qga::{Exec, Qga};

/// Longest time that a command may take under software emulation.
const LIMIT: Duration = Duration::from_mins(1);

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
        let mut agent = Qga::new(&self.live.qga);
        agent.ready(LIMIT).await.expect("the guest agent answers");
        let exec = Exec::new("/bin/sh").args(["-c", script]);
        let completed =
            agent.exec(&exec, LIMIT).await.unwrap_or_else(|error| panic!("`{script}`: {error:?}"));
        let stdout = completed.success().unwrap_or_else(|error| panic!("`{script}`: {error}"));
        String::from_utf8(stdout).expect("the script prints UTF-8").trim_end().to_owned()
    }
}
