//! Waiting until an instance is ready: every health path answers 200, before the guest reports a failure and before the
//! deadline. The caller handles the end of QEMU meanwhile.

use std::time::Duration;

use base::events::Phase;
use base::wait::Backoff;
use futures_util::StreamExt;
use futures_util::future::try_join_all;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use vm::console;
use vm::tail::Tail;

use super::error::InstanceError;
use super::health::{self, Health};
use crate::ports::PublishedPort;

/// First pause after an answer that is not healthy: often the next answer is healthy a moment later.
const RETRY: Duration = Duration::from_millis(5);

/// Pause between the starts of two requests to one service. A request that reaches a guest whose network is not up yet
/// hangs until it is repeated seconds later, so the next one is sent without waiting for it.
const PACE: Duration = Duration::from_millis(150);

/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Most requests to one service at a time.
const IN_FLIGHT: usize = 8;

/// Waits until every port with a health path is healthy. The console's new lines become details of `phase`.
///
/// # Errors
/// When the guest reports a failure or `limit` passes first.
pub(super) async fn wait(
    ports: &[PublishedPort],
    console: Tail,
    limit: Duration,
    phase: &Phase<'_>,
) -> Result<(), InstanceError> {
    let log = console.path().to_owned();
    let (answers, latest) = watch::channel(Vec::<Health>::new());
    let services =
        try_join_all(ports.iter().filter(|port| port.health.is_some()).map(|port| healthy(port, &answers)));
    tokio::select! {
        done = tokio::time::timeout(limit, services) => match done {
            Ok(done) => done.map(drop),
            Err(_) => Err(InstanceError::NotReady {
                limit,
                unhealthy: missing(ports, &latest.borrow()),
                console: console::end(&log),
            }),
        },
        trouble = console::trouble(console, phase) => Err(trouble.into()),
    }
}

/// Sends requests to one service until it is healthy, and records each answer.
async fn healthy(port: &PublishedPort, answers: &watch::Sender<Vec<Health>>) -> Result<(), InstanceError> {
    let mut pace = tokio::time::interval(PACE);
    let mut requests = FuturesUnordered::new();
    let mut backoff = Backoff::between(RETRY, PACE);
    loop {
        tokio::select! {
            _ = pace.tick(), if requests.len() < IN_FLIGHT => {
                requests.push(health::check(std::slice::from_ref(port), ANSWER_LIMIT));
            }
            Some(answer) = requests.next() => {
                let healthy = answer.iter().all(|health| health.healthy);
                answers.send_modify(|known| {
                    known.retain(|health| health.name != port.name);
                    known.extend(answer);
                });
                if healthy {
                    return Ok(());
                }
                if requests.is_empty() {
                    backoff.pause().await;
                    pace.reset_immediately();
                }
            }
        }
    }
}

/// Every service that has not been healthy yet, with its last answer if it gave one.
fn missing(ports: &[PublishedPort], known: &[Health]) -> Vec<Health> {
    let unasked = |port: &PublishedPort| {
        let url = port.health_url()?;
        let reason = Some("has not answered yet".to_owned());
        Some(Health { name: port.name.clone(), url, healthy: false, reason })
    };
    let last = |port: &PublishedPort| known.iter().find(|health| health.name == port.name).cloned();
    let all = ports.iter().filter_map(|port| last(port).or_else(|| unasked(port)));
    all.filter(|health| !health.healthy).collect()
}

#[cfg(test)]
mod tests {
    use base::events::Silent;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use vm::console::GuestTrouble;

    use super::*;
    use crate::ports::LOOPBACK;

    async fn service(answers: &'static [&'static str]) -> PublishedPort {
        let listener = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
        let host = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            let mut turn = answers.iter();
            let mut last = answers[0];
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                last = turn.next().unwrap_or(&last);
                let mut request = [0; 512];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(last.as_bytes()).await;
            }
        });
        PublishedPort {
            name: "api".into(),
            guest: 1,
            host,
            variable: String::new(),
            health: Some("/h".into()),
        }
    }

    const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    const BUSY: &str =
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\ncontent-length: 6\r\n\r\nno sql";

    async fn waited(port: PublishedPort, console: &str, limit: Duration) -> Result<(), InstanceError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("serial.log");
        std::fs::write(&path, console).unwrap();
        wait(&[port], Tail::new(&path), limit, &Phase::start(&Silent, "services", "Services")).await
    }

    #[tokio::test]
    async fn a_service_that_becomes_healthy_ends_the_wait() {
        let port = service(&[BUSY, "", OK]).await;
        waited(port, "booting\n", Duration::from_secs(20)).await.unwrap();
    }

    #[tokio::test]
    async fn the_deadline_names_what_is_unhealthy_and_shows_the_console() {
        let port = service(&[BUSY]).await;
        let host = port.host;
        let error = waited(port, "one\ntwo\n", Duration::from_millis(300)).await.unwrap_err();
        let shown = error.to_string().replace(&host.to_string(), "[port]");
        insta::assert_snapshot!(shown, @r"
        the services are not ready after 0 s: http://127.0.0.1:[port]/h answered 503 Service Unavailable: no sql
        last lines of the guest's console:
          one
          two
        ");
    }

    #[tokio::test]
    async fn a_guest_that_cannot_continue_ends_the_wait_at_once() {
        let port = service(&[BUSY]).await;
        let console = "fine\n[    1.0] Kernel panic - not syncing: VFS\n";
        let error = waited(port, console, Duration::from_mins(10)).await.unwrap_err();
        assert!(
            matches!(error, InstanceError::Guest(GuestTrouble::Failed { line, .. }) if line.contains("VFS"))
        );
    }

    #[tokio::test]
    async fn a_guest_whose_kernel_reports_a_stall_hangs() {
        let port = service(&[BUSY]).await;
        let console = "[   23.3] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:\n";
        let error = waited(port, console, Duration::from_mins(10)).await.unwrap_err();
        assert!(matches!(error, InstanceError::Guest(GuestTrouble::Hangs { .. })), "{error}");
    }
}
