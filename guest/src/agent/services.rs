//! The resident services, which have a control socket each.

use std::{
    io::{self, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::Path,
};

use anyhow::anyhow;
use tracing::info;

use crate::{
    control::{Order, Reply, socket_of, tell},
    ready,
    settings::Settings,
};

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

/// The backend's health, without what it does once the host has been answered.
const STIRRED_HEALTH: &str = "/health?db=1&prewarm=0";

/// What a host asks as soon as it may.
#[derive(Clone, Copy)]
pub(super) struct Question {
    port: u16,
    path: &'static str,
}

impl Question {
    /// What it asks the backend and the dashboard.
    pub(super) fn all(settings: &Settings) -> [Self; 2] {
        [
            Self { port: settings.backend_port, path: STIRRED_HEALTH },
            Self { port: settings.dashboard_port, path: ready::DASHBOARD },
        ]
    }

    fn ask(self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.write_all(format!("GET {} HTTP/1.0\r\n\r\n", self.path).as_bytes())?;
        Ok(stream)
    }
}

/// Has the services begin to do what the host is going to ask them, on the processor that has nothing to do yet: in a machine that
/// was just resumed the first time of everything takes several times as long as the second, most of all under software
/// emulation. Nobody reads the answers. The connections are to be held until there is something better to do.
pub(super) fn stir(questions: &[Question]) -> Vec<TcpStream> {
    questions.iter().filter_map(|question| question.ask().ok()).collect()
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
    fn a_service_that_is_stirred_is_asked_what_the_host_will_ask() {
        use std::io::Read as _;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gone =
            std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let held = stir(&[Question { port: gone, path: "/" }, Question { port, path: "/health" }]);
        assert_eq!(held.len(), 1, "what does not listen is passed over");
        let mut asked = [0; 24];
        listener.accept().unwrap().0.read_exact(&mut asked).unwrap();
        assert_eq!(&asked, b"GET /health HTTP/1.0\r\n\r\n".as_slice());
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
