//! What a guest's serial console tells about a guest that cannot go on.

use std::path::Path;

use base::events::Phase;
use base::wait::Backoff;

use crate::tail::{Tail, last_lines};

/// Lines of the console that an error shows.
const CONSOLE_LINES: usize = 15;

/// What a guest prints on its console when it cannot go on: the kernel's panic, systemd's emergency mode, cloud-init's end
/// as the image's own user-data reports it.
const FAILURES: [&str; 3] =
    ["Kernel panic - not syncing", "You are in emergency mode", "STACK_CLOUD_INIT_FAILED"];

/// What a guest's kernel prints when a CPU of it has not taken part for 21 s: here, a timer interrupt that the emulation lost
/// on a busy host. It does not recover by itself.
const HANG: &str = "detected stalls on CPUs/tasks";

/// What a guest's console says about its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuestTrouble {
    /// It says that it cannot go on.
    #[error("the guest reports a failure: `{line}`{}", shown(console))]
    Failed {
        /// The line that says so.
        line: String,
        /// The end of the console.
        console: String,
    },
    /// Its kernel says that a CPU stands still.
    #[error("the guest hangs: `{line}`{}", shown(console))]
    Hangs {
        /// The line that says so.
        line: String,
        /// The end of the console.
        console: String,
    },
}

/// Follows the console until it shows that the guest cannot go on. Its lines become details of `phase`.
pub async fn trouble(mut console: Tail, phase: &Phase<'_>) -> GuestTrouble {
    let mut backoff = Backoff::default();
    loop {
        // A console that cannot be read tells nothing; whatever else is waited for still does.
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
