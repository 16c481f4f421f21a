//! The HTTP server of a resident service. It has room for as many connections as a developer's programs open, and closes those that
//! are not used: a client that is silent, that sends byte by byte or that never reads its answer costs others nothing.
//!
//! Every limit counts the machine's own time, which stops while the machine is stopped: what was in progress at a suspension has as
//! much time left after the resume.

mod stall;

use std::{
    convert::Infallible,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{HeaderValue, Request, header},
    response::Response,
};
use base::wait::Backoff;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    task::JoinSet,
    time::timeout,
};
use tower::ServiceExt as _;
use tracing::warn;

use self::stall::Unstalled;

/// The bytes of a buffer. A head of a request that fills it is refused; one that comes in a single piece may be a little larger.
/// Those of browsers have some KiB.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// How many connections, and how long they may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Connections at a time. Each holds a few KiB and a descriptor.
    connections: usize,
    /// This many more are asked to try again. Any beyond them wait in the kernel's queue.
    refusals: usize,
    /// From the connection's beginning, or the answer before, to the end of a request's head. So this also ends idle ones.
    head: Duration,
    /// How long a client may read nothing of an answer.
    stall: Duration,
    /// How long a connection without a request may last once the server has to stop.
    farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            refusals: 64,
            head: Duration::from_secs(10),
            stall: Duration::from_secs(30),
            farewell: Duration::from_secs(1),
        }
    }
}

/// What the server answers.
#[derive(Clone)]
pub struct Service {
    /// The answers to requests.
    pub router: Router,
    /// The answer to a connection for which there is no room.
    pub busy: fn() -> Response,
}

/// Answers until `stop` is true, and then until requests in progress have ended.
pub async fn run(listener: TcpListener, service: Service, limits: Limits, mut stop: watch::Receiver<bool>) {
    let rooms = Rooms::new(&limits);
    let mut connections = JoinSet::new();
    loop {
        let (stream, room) = tokio::select! {
            next = async { (accept(&listener).await, rooms.next().await) } => next,
            () = stopped(&mut stop) => break,
        };
        let router = match room.kind {
            Kind::Served => service.router.clone(),
            Kind::Refused => refusing(service.busy),
        };
        let stop = stop.clone();
        connections.spawn(async move {
            connection(stream, router, limits, stop).await;
            drop(room);
        });
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// Waits until `stop` is true. An error means that its sender is gone, which is a reason to stop as well.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// The next connection. One that cannot be accepted is reported, and the next is waited for.
pub async fn accept(listener: &TcpListener) -> TcpStream {
    let mut backoff = Backoff::default();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                warn!("cannot accept a connection: {error}");
                backoff.pause().await;
            }
        }
    }
}

/// Gives every request the same answer, and closes the connection.
fn refusing(busy: fn() -> Response) -> Router {
    Router::new().fallback(async move || {
        let mut response = busy();
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    })
}

/// The places for connections.
struct Rooms {
    served: Arc<Semaphore>,
    refused: Arc<Semaphore>,
}

enum Kind {
    Served,
    Refused,
}

/// A connection's place.
struct Room {
    kind: Kind,
    _permit: OwnedSemaphorePermit,
}

impl Rooms {
    fn new(limits: &Limits) -> Self {
        let places = |count| Arc::new(Semaphore::new(count));
        Self { served: places(limits.connections), refused: places(limits.refusals) }
    }

    /// Waits for a place among the connections that are served, or else among those that are asked to try again.
    async fn next(&self) -> Room {
        let (kind, permit) = tokio::select! {
            biased;
            permit = Arc::clone(&self.served).acquire_owned() => (Kind::Served, permit),
            permit = Arc::clone(&self.refused).acquire_owned() => (Kind::Refused, permit),
        };
        Room { kind, _permit: permit.expect("the semaphores are never closed") }
    }
}

async fn connection(stream: TcpStream, router: Router, limits: Limits, mut stop: watch::Receiver<bool>) {
    let under_way = Arc::new(AtomicBool::new(false));
    let service = service_fn(|request: Request<Incoming>| {
        under_way.store(true, Ordering::Relaxed);
        let (answer, under_way) = (router.clone().oneshot(request.map(Body::new)), Arc::clone(&under_way));
        async move {
            let answer: Result<Response, Infallible> = answer.await;
            under_way.store(false, Ordering::Relaxed);
            answer
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(MAX_HEAD_BYTES);
    let io = TokioIo::new(Unstalled::new(stream, limits.stall));
    let mut served = pin!(http.serve_connection(io, service).with_upgrades());
    // An error is the client's: it broke the connection, sent something else than HTTP, or was too slow.
    tokio::select! {
        _ = served.as_mut() => return,
        () = stopped(&mut stop) => {}
    }
    served.as_mut().graceful_shutdown();
    if timeout(limits.farewell, served.as_mut()).await.is_err() && under_way.load(Ordering::Relaxed) {
        let _ = served.await;
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use axum::{http::StatusCode, response::IntoResponse as _, routing::get};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        task::JoinHandle,
    };

    use super::*;

    /// Short enough to be waited for; what may take longer does not come to its end.
    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(20);

    fn limits() -> Limits {
        Limits { connections: 2, refusals: 1, head: LONG, stall: LONG, farewell: SHORT }
    }

    struct Running {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        server: JoinHandle<()>,
    }

    async fn running(limits: Limits) -> Running {
        let router = Router::new()
            .route("/", get(async || "here"))
            .route("/slow", get(async || tokio::time::sleep(SHORT * 4).await))
            .route("/large", get(async || vec![b'x'; 64 * 1024 * 1024]));
        let busy = || (StatusCode::SERVICE_UNAVAILABLE, "busy").into_response();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = watch::channel(false);
        let server = tokio::spawn(run(listener, Service { router, busy }, limits, stopped));
        Running { address, stop, server }
    }

    impl Running {
        async fn send(&self, bytes: &str) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes.as_bytes()).await.unwrap();
            stream
        }

        async fn asked(&self, path: &str) -> TcpStream {
            self.send(&format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")).await
        }

        /// Waits until a connection is served.
        async fn has_room(&self) {
            let answered = async || {
                let mut stream = self.asked("/").await;
                let mut start = [0; 12];
                stream.read_exact(&mut start).await.ok().filter(|_| &start == b"HTTP/1.1 200")
            };
            base::wait::until(LONG, answered).await.expect("there is room again");
        }
    }

    /// Reads all that comes until the server closes the connection, which it does soon.
    async fn rest(mut stream: TcpStream) -> String {
        let mut text = Vec::new();
        timeout(LONG / 2, stream.read_to_end(&mut text)).await.expect("the connection is closed").unwrap();
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn a_head_that_never_ends_is_cut_off_however_it_drips() {
        let running = running(Limits { head: SHORT, ..limits() }).await;
        let mut stream = running.send("GET / HTTP/1.1\r\n").await;
        let dripping = async {
            while stream.write_all(b"x-more: 1\r\n").await.is_ok() {
                tokio::time::sleep(SHORT / 5).await;
            }
        };
        timeout(LONG / 2, dripping).await.expect("the connection is closed");
        assert_eq!(rest(running.send("").await).await, "", "a connection without a byte is closed as well");
    }

    #[tokio::test]
    async fn an_idle_connection_is_closed_after_its_answer() {
        let running = running(Limits { head: SHORT, ..limits() }).await;
        let answer = rest(running.asked("/").await).await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn an_answer_may_take_longer_than_a_head() {
        let running = running(Limits { head: SHORT, ..limits() }).await;
        assert!(rest(running.asked("/slow").await).await.starts_with("HTTP/1.1 200 "));
    }

    #[tokio::test]
    async fn a_client_without_room_is_refused_and_served_later() {
        let running = running(limits()).await;
        let held = [running.send("GET").await, running.send("").await];
        let answer = rest(running.asked("/").await).await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("busy"), "{answer}");
        drop(held);
        running.has_room().await;
    }

    #[tokio::test]
    async fn an_answer_that_the_client_does_not_read_is_dropped() {
        let running = running(Limits { connections: 1, stall: SHORT, ..limits() }).await;
        let mut stream = running.asked("/large").await;
        // The kernel's buffers take some of it, and the place is free again once the rest is dropped.
        running.has_room().await;
        let mut taken = Vec::new();
        let end = timeout(LONG, stream.read_to_end(&mut taken)).await.expect("the connection is closed");
        assert!(end.is_err() || taken.len() < 64 * 1024 * 1024, "{}", taken.len());
    }

    #[tokio::test]
    async fn at_the_end_requests_are_answered_and_idle_connections_closed() {
        let running = running(Limits { connections: 3, ..limits() }).await;
        let silent = [running.send("").await, running.send("GET / HTTP/1.1\r\n").await];
        let mut slow = running.asked("/slow").await;
        tokio::time::sleep(SHORT).await;
        running.stop.send_replace(true);
        let mut answer = String::new();
        slow.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        timeout(LONG / 2, running.server).await.expect("the idle ones are closed").unwrap();
        drop(silent);
    }
}
