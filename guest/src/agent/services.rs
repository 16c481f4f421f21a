//! The resident services, which have a control socket each.

use std::{cell::Cell, os::unix::net::UnixStream, path::Path};

use anyhow::anyhow;
use tracing::info;

use crate::control::{Order, Reply, begin, socket_of, tell};

/// Where systemd makes the runtime directories of units.
pub(super) const RUN: &str = "/run";

/// All that hold settings or connections.
const SERVICES: [&str; 3] = ["backend", "dashboard", "cron"];

/// Tells all of them at once, and waits until each has done it. One that is not running has nothing to do.
pub(super) async fn tell_all(run: &Path, order: Order) -> anyhow::Result<()> {
    let [backend, dashboard, cron] = SERVICES.map(|service| one(run, service, order));
    let (backend, dashboard, cron) = tokio::join!(backend, dashboard, cron);
    let failures: Vec<_> =
        [backend, dashboard, cron].into_iter().filter_map(|result| Some(result.err()?.to_string())).collect();
    if failures.is_empty() { Ok(()) } else { Err(anyhow!(failures.join("; "))) }
}

/// The one whose answer takes longest.
const SLOWEST: &str = "backend";

/// Has the backend ask its databases what the host is going to have it ask, on the processor that has nothing to do yet: in a
/// machine that was just resumed the first time of everything takes several times as long as the second, most of all under
/// software emulation.
///
/// Nobody waits for the answer, and the connection is held until the next time: the backend would report that it is gone.
#[derive(Default)]
pub(super) struct Rehearsal(Cell<Option<UnixStream>>);

impl Rehearsal {
    /// Asks, and does not wait. Without a backend there is nothing to be done.
    pub(super) fn begin(&self, run: &Path) {
        self.0.set(begin(&socket_of(run, SLOWEST), Order::Rehearse).ok());
    }
}

async fn one(run: &Path, service: &str, order: Order) -> anyhow::Result<()> {
    if tell(&socket_of(run, service), order).await? == Reply::NotRunning {
        info!("{service} is not running");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::net::UnixListener};

    use super::*;

    #[test]
    fn only_a_backend_that_runs_rehearses() {
        use std::io::Read as _;
        let (run, rehearsal) = (tempfile::tempdir().unwrap(), Rehearsal::default());
        rehearsal.begin(run.path());
        assert!(rehearsal.0.take().is_none());
        let socket = socket_of(run.path(), "backend");
        fs::create_dir(socket.parent().unwrap()).unwrap();
        let bound = UnixListener::bind(&socket).unwrap();
        rehearsal.begin(run.path());
        let mut order = [0; 9];
        bound.accept().unwrap().0.read_exact(&mut order).unwrap();
        assert_eq!(&order, b"rehearse\n");
        assert!(rehearsal.0.take().is_some(), "the answer finds somebody");
    }

    #[tokio::test]
    async fn services_that_are_not_running_hold_nothing_up() {
        let run = tempfile::tempdir().unwrap();
        tell_all(run.path(), Order::Reload).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_is_named() {
        let run = tempfile::tempdir().unwrap();
        let socket = socket_of(run.path(), "dashboard");
        fs::create_dir(socket.parent().unwrap()).unwrap();
        let _bound = UnixListener::bind(&socket).unwrap();
        let error = tell_all(run.path(), Order::Drain).await.unwrap_err().to_string();
        assert!(error.contains("stack-dashboard/control` did not answer to `drain`"), "{error}");
    }
}
