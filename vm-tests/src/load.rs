//! A client that writes while something happens to the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use base::wait;
use serde_json::json;
use tokio::task::JoinHandle;

use crate::emulator::Started;
use crate::stack::backend;

/// How long a few writes may take.
const LIMIT: Duration = Duration::from_mins(1);

/// A client that makes one user after the other until the machine is gone, or it is asked to stop.
#[derive(Debug)]
pub struct Load {
    count: Arc<AtomicUsize>,
    enough: Arc<AtomicBool>,
    task: JoinHandle<Vec<String>>,
}

impl Load {
    /// Begins to write. `round` makes the users' addresses different from those of other loads.
    pub fn begin(started: &Started, round: usize) -> Self {
        let (server, count) = (backend(started, "server"), Arc::new(AtomicUsize::new(0)));
        let (counter, enough) = (Arc::clone(&count), Arc::new(AtomicBool::new(false)));
        let stop = Arc::clone(&enough);
        let task = tokio::spawn(async move {
            let mut answered = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let email = format!("round-{round}-{}@example.com", answered.len());
                let body = json!({ "primary_email": email });
                match server.try_post("/api/v1/users", &body).await {
                    Some(answer) => assert_eq!(answer.status, 201, "{:?}", answer.body),
                    None => break,
                }
                answered.push(email);
                counter.fetch_add(1, Ordering::Relaxed);
            }
            answered
        });
        Self { count, enough, task }
    }

    /// Waits until so many `users` have been made.
    ///
    /// # Panics
    /// When that takes too long.
    pub async fn has_written(&self, users: usize) {
        let enough = async || (self.count.load(Ordering::Relaxed) >= users).then_some(());
        wait::until(LIMIT, enough).await.expect("the load continues");
    }

    /// The users that were answered to have been made until the machine went away.
    ///
    /// # Panics
    /// When an answer was wrong.
    pub async fn end(self) -> Vec<String> {
        self.task.await.expect("every answer was right")
    }

    /// The same where the machine may be there still: the write that is under way is the last one.
    ///
    /// # Panics
    /// As [`Load::end`].
    pub async fn stop(self) -> Vec<String> {
        self.enough.store(true, Ordering::Relaxed);
        self.end().await
    }
}
