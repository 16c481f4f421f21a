//! The resident services, which have a control socket each.

use std::path::Path;

use anyhow::anyhow;
use tracing::info;

use crate::control::{Order, Reply, socket_of, tell};

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
