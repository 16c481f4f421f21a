//! The parts of GitHub that this project talks to, on loopback: REST API, the web address of release assets, and the
//! storage on another host that both redirect to. For tests only.
//!
//! Its answers have the shape of GitHub's published `OpenAPI` description, as far as they are read here. What it knows is a
//! [`state::World`], which tests fill and look at; what goes wrong is set by [`fault::Rule`]s.

#![expect(clippy::missing_panics_doc, reason = "what a test server cannot do fails the test")]

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

use axum::Router;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub mod api;
pub mod blob;
pub mod fault;
mod read;
pub mod state;
mod storage;
mod web;
mod write;

pub use blob::Content;
pub use fault::{Fault, Place, Rule};
pub use state::{Artifact, Asset, PullRequest, Release, Repo, Run, World};

/// Path of the API below the server's address, as GitHub Enterprise has it: the web addresses are derived from it.
const API_ROOT: &str = "/api/v3";

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Which of the servers was asked.
    pub place: Place,
    /// The method.
    pub method: String,
    /// Path and query, without the path that the API itself has.
    pub path: String,
    /// `Authorization`, which only the API may see.
    pub authorization: Option<String>,
    /// `Range`.
    pub range: Option<String>,
    /// `If-Range`.
    pub if_range: Option<String>,
}

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct Shared {
    inner: Arc<Mutex<Inner>>,
    /// Address of the API and the web pages.
    front: SocketAddr,
    /// Address of the storage.
    storage: SocketAddr,
}

#[derive(Default)]
struct Inner {
    world: World,
    rules: Vec<Rule>,
    requests: Vec<Request>,
    /// How many requests have been kept without an answer.
    held: usize,
}

impl Shared {
    pub(crate) fn world(&self) -> Guard<'_> {
        Guard(self.inner.lock().expect("no handler panics"))
    }

    /// The API's own address, without a final slash.
    pub(crate) fn api_url(&self) -> String {
        format!("http://{}{API_ROOT}", self.front)
    }

    pub(crate) fn web_url(&self) -> String {
        format!("http://{}", self.front)
    }

    /// By another name, as it is on another host.
    pub(crate) fn storage_url(&self) -> String {
        format!("http://localhost:{}", self.storage.port())
    }

    /// Never answers.
    async fn hold(&self) {
        self.inner.lock().expect("no handler panics").held += 1;
        std::future::pending().await
    }

    /// Notes a request and returns the faults that it meets.
    fn arrive(&self, request: Request) -> Vec<Fault> {
        let mut inner = self.inner.lock().expect("no handler panics");
        let faults = inner.rules.iter_mut().filter_map(|rule| rule.strike(&request)).collect();
        inner.requests.push(request);
        faults
    }
}

/// The world, locked against other changes.
pub struct Guard<'a>(MutexGuard<'a, Inner>);

impl std::ops::Deref for Guard<'_> {
    type Target = World;

    fn deref(&self) -> &World {
        &self.0.world
    }
}

impl std::ops::DerefMut for Guard<'_> {
    fn deref_mut(&mut self) -> &mut World {
        &mut self.0.world
    }
}

/// A running server, on a thread of its own until it is dropped.
pub struct GitHub {
    shared: Shared,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl GitHub {
    /// Starts a server that knows nothing yet.
    pub fn start() -> Self {
        let (ready, started) = std::sync::mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be made");
            runtime.block_on(async {
                let listen = || TcpListener::bind(("127.0.0.1", 0));
                let front = listen().await.expect("loopback has a free port");
                let storage = listen().await.expect("loopback has a free port");
                let shared = Shared {
                    inner: Arc::default(),
                    front: front.local_addr().expect("it is bound"),
                    storage: storage.local_addr().expect("it is bound"),
                };
                ready.send(shared.clone()).expect("the starter waits");
                tokio::select! {
                    _ = stopped => {}
                    done = serve(front, front_routes(shared.clone())) => done,
                    done = serve(storage, storage::routes(shared)) => done,
                }
            });
            // Handlers that hang on purpose must not keep the thread.
            runtime.shutdown_background();
        });
        let shared = started.recv().expect("the server has started");
        Self { shared, stop: Some(stop), thread: Some(thread) }
    }

    /// What belongs into `GITHUB_API_URL`.
    pub fn api_url(&self) -> String {
        self.shared.api_url()
    }

    /// What belongs into `GITHUB_SERVER_URL`: where release assets are found without the API.
    pub fn web_url(&self) -> String {
        self.shared.web_url()
    }

    /// The host that content is redirected to.
    pub fn storage_url(&self) -> String {
        self.shared.storage_url()
    }

    /// What the server knows, to be changed or looked at.
    pub fn world(&self) -> Guard<'_> {
        self.shared.world()
    }

    /// Lets something go wrong from now on.
    pub fn rule(&self, rule: Rule) {
        self.shared.inner.lock().expect("no handler panics").rules.push(rule);
    }

    /// Lets nothing go wrong any more.
    pub fn clear_rules(&self) {
        self.shared.inner.lock().expect("no handler panics").rules.clear();
    }

    /// How many requests have met [`Fault::Hang`] or [`Fault::Unanswered`], or an upload [`Fault::HangAt`].
    pub fn held(&self) -> usize {
        self.shared.inner.lock().expect("no handler panics").held
    }

    /// Every request so far; forgets them.
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.shared.inner.lock().expect("no handler panics").requests)
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, routes: Router) {
    axum::serve(listener, routes).await.expect("the server runs until it is stopped");
}

fn front_routes(shared: Shared) -> Router {
    let api = fault::meets(api::routes(), &shared, Place::Api);
    let web = fault::meets(web::routes(), &shared, Place::Web);
    Router::new().nest(API_ROOT, api.with_state(shared.clone())).merge(web.with_state(shared))
}
