//! The resident services of this machine, and what the agent orders them to do.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeSet,
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, anyhow};
use base::wait::{self, Backoff};
use futures_util::future::join_all;
use protocol::services::{Order, Service, Services};
use tokio::time::Instant;
use tracing::info;

use super::units;
use crate::{
    control::{Reply, Secrets, begin, send, socket_of},
    services,
};

/// Where systemd makes the runtime directories of units.
const RUN: &str = "/run";

/// How long connections, and the work behind them, may take to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(30);

/// How long a service may have no process before it counts as stopped: systemd starts one that has ended again after a second.
const RESTART_LIMIT: Duration = Duration::from_secs(3);

/// Pause between two looks at what runs, for as long as an order is under way.
const LOOK: Duration = Duration::from_millis(250);

/// The services of this machine.
pub(super) struct Orders {
    run: PathBuf,
    groups: PathBuf,
    services: Services,
    rehearsal: Cell<Vec<UnixStream>>,
    /// The units that have been seen to run: one of these that does not was stopped, or fails, and is not about to be started.
    seen: RefCell<BTreeSet<String>>,
}

impl Orders {
    /// Reads which services there are.
    pub(super) fn load() -> anyhow::Result<Self> {
        Ok(Self::of(services::load()?, RUN.into(), units::GROUPS.into()))
    }

    fn of(services: Services, run: PathBuf, groups: PathBuf) -> Self {
        Self { run, groups, services, rehearsal: Cell::default(), seen: RefCell::default() }
    }

    /// The descriptions of the services.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// Makes every service that keeps secrets take these, each in one transaction. Without any, all that it needs for that is
    /// loaded into memory. Fails as soon as it is known that a service has been stopped, which may be what they wait for.
    pub(super) async fn renew(&self, secrets: &Secrets) -> anyhow::Result<()> {
        tokio::select! {
            renewed = self.all(Order::Renew, secrets) => renewed.map(drop),
            stopped = self.stopped() => Err(anyhow!("no answer, since these services do not run: {stopped}")),
        }
    }

    /// Notes which services run. To be called when nothing is waited for.
    pub(super) fn note_running(&self) {
        let mut seen = self.seen.borrow_mut();
        if seen.len() < self.services.services.len() {
            let units = self.services.services.iter().map(|service| &service.unit);
            seen.extend(units.filter(|unit| units::runs(unit, &self.groups)).cloned());
        }
    }

    /// Waits until services that have run before do not run any more, and returns their names with their units.
    async fn stopped(&self) -> String {
        let mut backoff = Backoff::between(LOOK, LOOK);
        let mut since = None;
        loop {
            backoff.pause().await;
            let gone = |service: &&Service| {
                self.seen.borrow().contains(&service.unit) && !units::runs(&service.unit, &self.groups)
            };
            let gone: Vec<_> = self.services.services.iter().filter(gone).collect();
            if gone.is_empty() {
                since = None;
            } else if since.get_or_insert_with(Instant::now).elapsed() >= RESTART_LIMIT {
                let name = |service: &&Service| format!("`{}` ({})", service.name, service.unit);
                return gone.iter().map(name).collect::<Vec<_>>().join(", ");
            }
        }
    }

    /// Makes every service read its settings again.
    pub(super) async fn reload(&self) -> anyhow::Result<()> {
        self.all(Order::Reload, &Secrets::new()).await.map(drop)
    }

    /// Makes the services call all that they serve once.
    pub(super) async fn warm_up(&self) -> anyhow::Result<()> {
        self.all(Order::WarmUp, &Secrets::new()).await.map(drop)
    }

    /// Makes the services write all that a start after a crash would have to recover.
    pub(super) async fn flush(&self) -> anyhow::Result<()> {
        self.all(Order::Flush, &Secrets::new()).await.map(drop)
    }

    /// Makes the services do what could wait until the host had all its answers.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        self.all(Order::Settle, &Secrets::new()).await.map(drop)
    }

    /// Empties the services' pools, and waits until the work behind them has ended.
    pub(super) async fn drain(&self) -> anyhow::Result<()> {
        // To all of them every time: a connection that was just being made goes into the pool after it was emptied.
        let drained = async || match self.all(Order::Drain, &Secrets::new()).await {
            Ok(replies) if replies.contains(&Reply::Busy) => None,
            result => Some(result.map(drop)),
        };
        wait::until(DRAIN_LIMIT, drained).await.context("the services do not come to rest")?
    }

    /// Makes services send the queries to their databases that the host's requests will need, on the processor that is still idle: in a
    /// machine that was just resumed the first time of everything takes several times as long as the second, most of all under
    /// software emulation.
    ///
    /// The answers are not waited for. The connections are kept until the next time, or the services would report that the sender
    /// is gone. A service that does not run has nothing to do.
    pub(super) fn begin_rehearsal(&self) {
        let services = self.services.taking(Order::Rehearse);
        let begun = services.filter_map(|service| begin(&self.socket(&service.name), Order::Rehearse).ok());
        self.rehearsal.set(begun.collect());
    }

    /// Sends `order` to every service that takes it at once, and waits until each has carried it out.
    async fn all(&self, order: Order, secrets: &Secrets) -> anyhow::Result<Vec<Reply>> {
        let results = join_all(self.services.taking(order).map(async |service| {
            let reply = send(&self.socket(&service.name), order, secrets).await?;
            if reply == Reply::NotRunning {
                info!("{} is not running", service.name);
            }
            anyhow::Ok(reply)
        }));
        let (replies, failures): (Vec<_>, Vec<_>) = results.await.into_iter().partition(Result::is_ok);
        if failures.is_empty() {
            return Ok(replies.into_iter().flatten().collect());
        }
        let reasons: Vec<_> =
            failures.into_iter().filter_map(|failure| Some(failure.err()?.to_string())).collect();
        Err(anyhow!(reasons.join("; ")))
    }

    fn socket(&self, service: &str) -> PathBuf {
        socket_of(&self.run, service)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::net::UnixListener;
    use std::path::Path;

    use protocol::services::Service;

    use super::*;

    fn orders(run: &Path) -> Orders {
        let service = |name: &str, orders: &[Order]| Service {
            name: name.to_owned(),
            unit: format!("stack-{name}.service"),
            orders: orders.to_vec(),
            ports: Vec::new(),
            warm_up: Vec::new(),
        };
        let services = vec![
            service("api", &[Order::Rehearse, Order::Reload, Order::Drain]),
            service("pages", &[Order::Reload, Order::Drain]),
            service("keys", &[Order::Renew]),
        ];
        Orders::of(Services { name: "shop".to_owned(), services }, run.to_owned(), run.join("groups"))
    }

    fn bound(run: &Path, service: &str) -> UnixListener {
        let socket = socket_of(run, service);
        fs::create_dir(socket.parent().unwrap()).unwrap();
        UnixListener::bind(&socket).unwrap()
    }

    #[test]
    fn only_a_service_that_runs_and_takes_the_order_rehearses() {
        let run = tempfile::tempdir().unwrap();
        let orders = orders(run.path());
        orders.begin_rehearsal();
        assert!(orders.rehearsal.take().is_empty());
        let (api, _pages) = (bound(run.path(), "api"), bound(run.path(), "pages"));
        orders.begin_rehearsal();
        let mut order = [0; 9];
        api.accept().unwrap().0.read_exact(&mut order).unwrap();
        assert_eq!(&order, b"rehearse\n");
        assert_eq!(orders.rehearsal.take().len(), 1, "the answer finds its reader");
    }

    #[tokio::test]
    async fn services_that_are_not_running_hold_nothing_up() {
        let run = tempfile::tempdir().unwrap();
        orders(run.path()).reload().await.unwrap();
        orders(run.path()).drain().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_does_not_answer_is_named() {
        let run = tempfile::tempdir().unwrap();
        let _bound = bound(run.path(), "pages");
        let error = orders(run.path()).reload().await.unwrap_err().to_string();
        assert!(error.contains("stack-pages/control` did not answer to `reload`"), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_was_stopped_is_named_and_one_that_starts_is_waited_for() {
        let run = tempfile::tempdir().unwrap();
        let orders = orders(run.path());
        let renew = async || tokio::time::timeout(RESTART_LIMIT * 2, orders.renew(&Secrets::new())).await;
        assert!(renew().await.is_err(), "it may be about to start");
        let group = run.path().join("groups/stack-keys.service");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("cgroup.procs"), "7\n").unwrap();
        orders.note_running();
        assert!(renew().await.is_err(), "it runs");
        fs::write(group.join("cgroup.procs"), "").unwrap();
        let error = renew().await.expect("it is known").unwrap_err().to_string();
        assert!(error.ends_with("do not run: `keys` (stack-keys.service)"), "{error}");
    }

    #[tokio::test]
    async fn a_busy_service_is_asked_again() {
        use std::io::Write as _;
        let run = tempfile::tempdir().unwrap();
        let api = bound(run.path(), "api");
        let service = std::thread::spawn(move || {
            for answer in ["busy\n", "ok\n"] {
                let mut stream = api.accept().unwrap().0;
                stream.read_exact(&mut [0; 6]).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
            }
        });
        orders(run.path()).drain().await.unwrap();
        service.join().unwrap();
    }
}
