//! What every resident service does: logging, handling signals, notifying systemd, and stopping cleanly.

use std::{net::Ipv4Addr, time::Duration};

use anyhow::Context as _;
use sd_notify::NotifyState;
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
    sync::{mpsc, watch},
};
use tracing::{info, level_filters::LevelFilter, warn};
use tracing_subscriber::{filter::Targets, layer::SubscriberExt as _};

use crate::{
    control::{Call, Socket},
    http_server::{self, Limits, Service},
};

/// How long requests may last after SIGTERM. Well below systemd's own limit, so that the service ends by itself.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Connections that wait until they are taken. Where the queue is full the kernel says nothing to the last packet of a handshake and
/// begins it again a second later, on which libslirp forgets the request that it has passed on by then: that connection hangs.
const BACKLOG: u32 = 4096;

/// Logs as plain `level target: message key=value` lines on stdout. The journal adds the time, the unit and the priority of
/// stdout, so none of them is here.
pub fn start_logging() {
    start_logging_without(&[]);
}

/// The same, without what these crates log: a library may report what its client gets as an answer anyway.
pub fn start_logging_without(quiet: &[&'static str]) {
    let levels = quiet.iter().map(|name| (*name, LevelFilter::OFF));
    let levels = Targets::new().with_default(LevelFilter::INFO).with_targets(levels);
    let subscriber = tracing_subscriber::fmt()
        .with_writer(std::io::stdout)
        .without_time()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .finish()
        .with(levels);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        warn!("logging was already set up");
    }
}

/// Runs a program on one thread: its work is waiting, what computes for long goes to blocking threads, and one thread starts sooner and leaves less memory behind in a snapshot than a pool.
///
/// # Errors
/// When the runtime cannot be started.
pub fn run<F: Future>(program: F) -> anyhow::Result<F::Output> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    Ok(runtime.block_on(program))
}

/// Binds `port` on every address of the virtual machine: QEMU's user network forwards to the address of the network card, not
/// to the loopback. Only 127.0.0.1 of the host leads there.
///
/// # Errors
/// When the port is taken.
pub fn bind(port: u16) -> anyhow::Result<TcpListener> {
    let bound = || {
        let socket = TcpSocket::new_v4()?;
        // A restart must not wait for the connections of the service before it.
        socket.set_reuseaddr(true)?;
        socket.bind((Ipv4Addr::UNSPECIFIED, port).into())?;
        socket.listen(BACKLOG)
    };
    bound().with_context(|| format!("cannot listen on port {port}"))
}

/// Serves `service` until SIGTERM or SIGINT. `reload` reads the settings again, and returns whether that succeeded; `carry_out` does
/// what an order asks for, and answers it.
///
/// # Errors
/// When the control socket cannot be listened on, or the server dies.
pub async fn serve(
    listener: TcpListener,
    service: Service,
    control: Socket,
    mut reload: impl AsyncFnMut() -> bool,
    mut carry_out: impl AsyncFnMut(Call),
) -> anyhow::Result<()> {
    let mut events = Events::new(control)?;
    let (stop, stopped) = watch::channel(false);
    let mut server = tokio::spawn(http_server::run(listener, service, Limits::default(), stopped));
    ready();
    loop {
        tokio::select! {
            result = &mut server => return result.context("the server's task died"),
            event = events.next() => match event {
                Event::Hangup => announce_reload(&mut reload).await,
                Event::Call(call) => carry_out(call).await,
                Event::Stop => break,
            },
        }
    }
    notify(&[NotifyState::Stopping]);
    stop.send_replace(true);
    if let Ok(result) = tokio::time::timeout(DRAIN_DEADLINE, server).await {
        return result.context("the server's task died");
    }
    warn!("stopped with requests still running after {} s", DRAIN_DEADLINE.as_secs());
    Ok(())
}

/// Notifies systemd that the service is up (`Type=notify` or `notify-reload`).
pub fn ready() {
    notify(&[NotifyState::Ready]);
    info!("ready");
}

/// Reloads between the two messages that `systemctl reload` waits for with `Type=notify-reload`.
pub async fn announce_reload(reload: impl AsyncFnOnce() -> bool) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => warn!("cannot read the monotonic clock: {error}"),
    }
    if reload().await {
        info!("reloaded");
    }
    notify(&[NotifyState::Ready]);
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        warn!("cannot notify systemd: {error}");
    }
}

/// What is asked of a service.
pub enum Event {
    /// SIGHUP: [`crate::control::Order::Reload`], for which systemd waits.
    Hangup,
    /// An order over the control socket.
    Call(Call),
    /// SIGTERM or SIGINT.
    Stop,
}

/// All that is asked of a service besides its requests.
pub struct Events {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
    calls: mpsc::Receiver<Call>,
}

impl Events {
    /// Listens for all of them.
    ///
    /// # Errors
    /// When a signal or the control socket cannot be listened for.
    pub fn new(control: Socket) -> anyhow::Result<Self> {
        let on = |kind| signal(kind).context("cannot install a signal handler");
        Ok(Self {
            hangup: on(SignalKind::hangup())?,
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
            calls: control.listen()?,
        })
    }

    /// Waits for the next one. Dropping the future loses none.
    pub async fn next(&mut self) -> Event {
        tokio::select! {
            _ = self.hangup.recv() => Event::Hangup,
            _ = self.terminate.recv() => Event::Stop,
            _ = self.interrupt.recv() => Event::Stop,
            Some(call) = self.calls.recv() => Event::Call(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More than the standard library lets wait.
    const CLIENTS: usize = 300;

    #[tokio::test]
    async fn hundreds_of_connections_wait_until_they_are_taken() {
        let listener = bind(0).unwrap();
        let address = (Ipv4Addr::LOCALHOST, listener.local_addr().unwrap().port());
        let mut connections = tokio::task::JoinSet::new();
        for _ in 0..CLIENTS {
            connections.spawn(tokio::net::TcpStream::connect(address));
        }
        let made = tokio::time::timeout(Duration::from_millis(900), connections.join_all()).await;
        assert!(made.expect("none is begun again").iter().all(Result::is_ok));
    }
}
