//! What a guest's serial console reports about a guest that cannot continue.

use std::path::Path;

use base::events::Phase;
use base::wait::Backoff;

use protocol::names::markers;

use crate::tail::{Tail, last_lines};

/// Lines of the console that an error shows.
const CONSOLE_LINES: usize = 15;

/// What a guest prints on its console when it cannot continue: the kernel's panic, systemd's emergency mode, and what the image's
/// own `/init` and user-data report.
const FAILURES: [&str; 4] = [
    "Kernel panic - not syncing",
    "You are in emergency mode",
    markers::INIT_FAILED,
    markers::PROVISION_FAILED,
];

/// What a guest's kernel prints when a CPU of it has not taken part for 21 s: here, a timer interrupt that the emulation lost
/// on a busy host. It does not recover by itself.
const HANG: &str = "detected stalls on CPUs/tasks";

/// What a guest's console says about its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestTrouble {
    /// It reports that it cannot continue.
    #[error("the guest reports a failure: `{line}`{}", shown(console))]
    Failed {
        /// The line that says so.
        line: String,
        /// The end of the console.
        console: String,
    },
    /// Its kernel reports that a CPU has stalled.
    #[error("the guest hangs: `{line}`{}", shown(console))]
    Hangs {
        /// The line that says so.
        line: String,
        /// The end of the console.
        console: String,
    },
}

/// Follows the console until it shows that the guest cannot continue. Its lines become details of `phase`.
pub async fn trouble(mut console: Tail, phase: &Phase<'_>) -> GuestTrouble {
    let mut backoff = Backoff::default();
    loop {
        // A console that cannot be read shows nothing; the other things that are waited for still do.
        for line in console.lines().unwrap_or_default() {
            phase.detail(&line);
            let hangs = line.contains(HANG);
            if hangs || FAILURES.iter().any(|marker| line.contains(marker)) {
                let console = end(console.path());
                return if hangs {
                    GuestTrouble::Hangs { line, console }
                } else {
                    GuestTrouble::Failed { line, console }
                };
            }
        }
        backoff.pause().await;
    }
}

/// The last lines of the console, for an error.
pub fn end(console: &Path) -> String {
    last_lines(console, CONSOLE_LINES).unwrap_or_default().join("\n")
}

/// The end of a console as a part of a message; nothing when it is empty.
pub fn shown(console: &str) -> String {
    if console.trim().is_empty() {
        return String::new();
    }
    let lines = console.lines().map(|line| format!("\n  {line}"));
    format!("\nlast lines of the guest's console:{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use base::events::Silent;

    use super::*;

    #[tokio::test]
    async fn a_guest_that_finds_nothing_to_boot_into_is_reported_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("console.log");
        std::fs::write(&log, "[ 0.9] x\nSTACK_INIT_FAILED: no partition has the label `root`\n").unwrap();
        let phase = Phase::start(&Silent, "boot", "Boot the guest");
        let GuestTrouble::Failed { line, .. } = trouble(Tail::new(&log), &phase).await else {
            panic!("the guest does not hang")
        };
        assert_eq!(line, "STACK_INIT_FAILED: no partition has the label `root`");
    }
}
