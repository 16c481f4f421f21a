//! What can be reached from the host while a machine comes up: nothing, until its secrets are its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use base::wait::{self, Backoff};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use vm_tests::api::Api;
use vm_tests::emulator::{Emulator, free_ports};
use vm_tests::stack::{CURRENT_PROJECT, placeholders, with_key};

/// Longest wait for the first answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn placeholders_are_refused_from_the_first_open_port_on() {
    let emulator = Emulator::without_snapshots();
    let ports = free_ports();
    let [backend, dashboard] = ports.map(|port| port.to_string());
    let port = [format!("backend={backend}"), format!("dashboard={dashboard}")];
    let start = ["start", "-o", "json", "--port", &port[0], "--port", &port[1]];
    let placeholder =
        with_key(Api::new(&format!("http://127.0.0.1:{backend}")), "client", &placeholders(&emulator)[0]);
    // With the snapshot's own boot, then from memory, then with a boot.
    for (origin, how_to_stop) in
        [("snapshot", &[][..]), ("suspended", &["--shutdown"]), ("cold", &["--shutdown"])]
    {
        let poller = Poller::begin(ports, placeholder.clone());
        emulator.started(emulator.run(&start).await).await.by(origin);
        let answers = poller.end().await;
        assert!(answers.iter().all(|status| *status == 401), "{origin}: {answers:?}");
        emulator.run(&[&["stop"], how_to_stop].concat()).await.expect(0);
        for port in ports {
            assert!(TcpStream::connect(("127.0.0.1", port)).await.is_err(), "{port} outlived the machine");
        }
    }
}

/// Tries to connect all the time, and when that works asks at once with the placeholder.
struct Poller {
    answers: Arc<Mutex<Vec<u16>>>,
    task: JoinHandle<()>,
}

impl Poller {
    fn begin(ports: [u16; 2], placeholder: Api) -> Self {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let found = Arc::clone(&answers);
        let task = tokio::spawn(async move {
            loop {
                let mut open = false;
                for port in ports {
                    open |= TcpStream::connect(("127.0.0.1", port)).await.is_ok();
                }
                if !open {
                    Backoff::default().pause().await;
                } else if let Some(answer) = placeholder.try_get(CURRENT_PROJECT).await {
                    found.lock().unwrap().push(answer.status);
                }
            }
        });
        Self { answers, task }
    }

    /// Status of every answer that there was, once the first is there: a connection that got through early may still wait for it.
    async fn end(self) -> Vec<u16> {
        let answered = async || (!self.answers.lock().unwrap().is_empty()).then_some(());
        wait::until(ANSWER_LIMIT, answered).await.expect("somebody gets through to a machine that runs");
        self.task.abort();
        assert!(self.task.await.is_err_and(|error| error.is_cancelled()), "the poller failed");
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}
