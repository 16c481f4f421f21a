//! How a QEMU ended that is not a child of this program, whose exit status is therefore unknown: by the last events of its monitor, and by
//! whether it removed its sockets.

use std::path::Path;
use std::time::Duration;

use qapi::qmp::ShutdownCause;
use vm::qmp::{Event, Events, Qmp, QmpError};

use super::ending::Ending;
use super::standstill::{Standstill, disk_failure};

/// How long reading the last events of a process that has ended may take.
const LAST_WORDS_LIMIT: Duration = Duration::from_secs(1);

/// Whether the QEMU with this monitor, which has ended, did so in order: the last thing that it does then is to remove its
/// sockets. One that crashed or was killed leaves them.
pub(super) fn in_order(monitor: &Path) -> bool {
    std::fs::symlink_metadata(monitor).is_err()
}

/// Collects what a QEMU reports that has to end.
pub(super) struct Witness<'a> {
    socket: &'a Path,
    monitor: Option<(Qmp, Events)>,
    said: Option<ShutdownCause>,
}

impl<'a> Witness<'a> {
    /// For the monitor at `socket`, which is not connected to yet.
    pub(super) fn new(socket: &'a Path) -> Self {
        Self { socket, monitor: None, said: None }
    }

    /// Presses the power button, and listens from then on.
    ///
    /// # Errors
    /// When the monitor does not greet within `limit`, or refuses.
    pub(super) async fn press_button(&mut self, limit: Duration) -> Result<(), QmpError> {
        let qmp = Qmp::reach(self.socket, limit).await?;
        let events = qmp.events();
        let (qmp, _) = self.monitor.insert((qmp, events));
        qmp.system_powerdown().await
    }

    /// Waits until QEMU reports that the host's disk fails, which pauses the guest. Never ends while all is well. Safe to drop
    /// and call again.
    pub(super) async fn disk_fails(&mut self) -> String {
        let Some((qmp, events)) = &mut self.monitor else { return std::future::pending().await };
        // It may have failed before this connection, which gets no event then.
        let already = async {
            match Standstill::of(qmp).await {
                Ok(Some(standstill @ (Standstill::DiskFull | Standstill::DiskFails))) => {
                    standstill.to_string()
                }
                _ => std::future::pending().await,
            }
        };
        let said = &mut self.said;
        let hears = async {
            while let Some(event) = events.next().await {
                *said = shutdown(&event).or(*said);
                if let Some(reason) = disk_failure(&event) {
                    return reason;
                }
            }
            std::future::pending().await
        };
        tokio::select! {
            reason = hears => reason,
            reason = already => reason,
        }
    }

    /// Returns how the process has ended; and if the guest was not the cause, what was.
    pub(super) async fn verdict(mut self) -> (Ending, Option<String>) {
        let heard = self.monitor.is_some();
        let last_words = async {
            while let (None, Some((_, events))) = (self.said, &mut self.monitor) {
                let Some(event) = events.next().await else { break };
                self.said = shutdown(&event);
            }
        };
        // A connection whose other side is gone ends by itself.
        let _ = tokio::time::timeout(LAST_WORDS_LIMIT, last_words).await;
        let powered_off = match self.said {
            Some(ShutdownCause::guest_shutdown | ShutdownCause::guest_reset) => true,
            // The guest was asked through its agent alone.
            None => !heard,
            Some(_) => false,
        };
        match (in_order(self.socket), powered_off, self.said) {
            (true, true, _) => (Ending::PoweredOff, None),
            (true, false, Some(cause)) => (
                Ending::Terminated,
                Some(format!("QEMU was ended before the guest had powered off ({})", name(cause))),
            ),
            (true, false, None) => (
                Ending::Terminated,
                Some("QEMU ended, and did not say that the guest had powered off".to_owned()),
            ),
            (false, true, Some(_)) => (
                Ending::Crashed,
                Some("QEMU crashed or was killed after the guest had powered off".to_owned()),
            ),
            (false, ..) => (
                Ending::Crashed,
                Some("QEMU crashed or was killed before the guest had powered off".to_owned()),
            ),
        }
    }
}

fn shutdown(event: &Event) -> Option<ShutdownCause> {
    match event {
        Event::SHUTDOWN { data, .. } => Some(data.reason),
        _ => None,
    }
}

/// QEMU's name of a cause.
fn name(cause: ShutdownCause) -> String {
    serde_json::to_value(cause).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}
