//! The sockets of a running machine. The monitor's is in the instance's directory if its file system supports sockets. Those of the agents are
//! where the paths are short, in a directory that a person or a clean-up program may remove. QEMU creates them again when it is
//! asked to through its monitor.

use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::names::ports;
use vm::machine::port_chardev;
use vm::qmp::Qmp;
use vm::runtime;

use super::Instance;
use super::error::InstanceError;
use super::live::Live;

/// How long the monitor may take to greet.
const MONITOR_LIMIT: Duration = Duration::from_secs(2);

impl Instance {
    /// Makes QEMU create missing sockets again. A paused machine has to be continued first.
    ///
    /// # Errors
    /// When the monitor's is among them, does not answer, or QEMU cannot make the others; and when they are not seen from here even then.
    pub(crate) async fn mend_sockets(&self, live: &Live) -> Result<(), InstanceError> {
        let gone = |path: PathBuf| Err(InstanceError::SocketGone { name: self.name.clone(), path });
        if live.has_lost_monitor() {
            return gone(live.machine.qmp.clone());
        }
        if lost(live).next().is_none() {
            return Ok(());
        }
        let qmp = Qmp::reach(&live.machine.qmp, MONITOR_LIMIT).await?;
        // Examined again: another command may have done it while this one waited for the monitor.
        let again: Vec<_> = lost(live).collect();
        for (port, path) in again {
            let number = live.machine.fingerprint.topology.ports.iter().position(|name| name == port);
            let Some(number) = number else { return gone(path.to_owned()) };
            runtime::restore(path.parent().unwrap_or(path))?;
            qmp.listen_again(&port_chardev(number), path).await?;
        }
        match lost(live).next() {
            Some((_, path)) => gone(path.to_owned()),
            None => Ok(()),
        }
    }
}

/// The ports whose sockets are not there, by their names.
fn lost(live: &Live) -> impl Iterator<Item = (&'static str, &Path)> {
    let ends = [(ports::QGA, live.machine.qga.as_path()), (ports::AGENT, live.machine.agent.as_path())];
    ends.into_iter().filter(|(_, path)| live.run.ready.is_some() && super::live::is_missing(path))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::{Arc, Mutex};

    use fake_monitor::{Server, Step, answer_with, monitor_opening};
    use serde_json::Value;
    use vm::home::Home;

    use super::super::live::tests::live;
    use super::*;
    use crate::name::InstanceName;

    struct Case {
        dir: tempfile::TempDir,
        instance: Instance,
        live: Live,
    }

    impl Case {
        /// A machine that runs, and of whose sockets only that of its monitor is there.
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let sockets = dir.path().join("run/sockets");
            let mut live = live(None, true);
            live.machine.qmp = dir.path().join("qmp");
            live.machine.qga = sockets.join("qga");
            live.machine.agent = sockets.join("agent");
            fs::write(&live.machine.qmp, "").unwrap();
            let instance = Instance::new(&Home::new(dir.path()), InstanceName::default());
            Self { dir, instance, live }
        }

        fn knows_ports(mut self) -> Self {
            self.live.machine.fingerprint.topology.ports =
                vec![ports::QGA.to_owned(), ports::AGENT.to_owned()];
            self
        }

        /// Puts a monitor in its place that follows `steps`.
        fn monitor(&self, steps: Vec<Step>) -> Server {
            let server = Server::start(vec![monitor_opening().into_iter().chain(steps).collect()]);
            fs::remove_file(&self.live.machine.qmp).unwrap();
            std::os::unix::fs::symlink(server.path(), &self.live.machine.qmp).unwrap();
            server
        }

        async fn mend(&self) -> Result<(), InstanceError> {
            self.instance.mend_sockets(&self.live).await
        }
    }

    /// One change of a back end in the order in which QEMU does it: the new socket exists before the old one is removed.
    fn change(id: u64, seen: &Arc<Mutex<Vec<Value>>>) -> Step {
        let seen = Arc::clone(seen);
        answer_with("chardev-change", move |command| {
            let path = &command["arguments"]["backend"]["data"]["addr"]["data"]["path"];
            if let Some(path) = path.as_str() {
                fs::write(path, "").unwrap();
            }
            seen.lock().unwrap().push(command["arguments"].clone());
            format!(r#"{{"return": {{}}, "id": {id}}}"#)
        })
    }

    #[tokio::test]
    async fn sockets_removed_with_their_directory_are_created_again_in_place() {
        let it = Case::new().knows_ports();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let _monitor = it.monitor((2..6).map(|id| change(id, &seen)).collect());
        it.mend().await.unwrap();
        assert!(it.live.machine.qga.exists() && it.live.machine.agent.exists());
        // Nothing is missing any more, so QEMU is not asked.
        it.mend().await.unwrap();
        let seen = seen.lock().unwrap();
        let steps: Vec<_> = seen
            .iter()
            .map(|step| (step["id"].as_str().unwrap(), step["backend"]["type"].as_str().unwrap()))
            .collect();
        assert_eq!(steps, [("port0", "null"), ("port0", "socket"), ("port1", "null"), ("port1", "socket")]);
        assert_eq!(seen[1]["backend"]["data"]["server"], true);
        assert_eq!(seen[1]["backend"]["data"]["wait"], false);
    }

    #[tokio::test]
    async fn a_socket_that_exists_is_left_to_its_users() {
        let it = Case::new().knows_ports();
        runtime::restore(it.live.machine.qga.parent().unwrap()).unwrap();
        fs::write(&it.live.machine.qga, "").unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let _monitor = it.monitor((2..4).map(|id| change(id, &seen)).collect());
        it.mend().await.unwrap();
        assert!(seen.lock().unwrap().iter().all(|step| step["id"] == "port1"));
    }

    #[tokio::test]
    async fn a_machine_without_its_monitor_is_reported_unreachable_at_once() {
        let it = Case::new().knows_ports();
        fs::remove_file(&it.live.machine.qmp).unwrap();
        let error = it.mend().await.unwrap_err();
        assert!(
            matches!(&error, InstanceError::SocketGone { path, .. } if *path == it.live.machine.qmp),
            "{error}"
        );
        assert!(error.to_string().ends_with("qmp` is not there"), "{error}");
        assert!(it.live.has_lost_monitor());
        let mut starting = it.live.clone();
        starting.run.ready = None;
        assert!(!starting.has_lost_monitor(), "it has not been there yet");
    }

    #[tokio::test]
    async fn sockets_that_are_created_where_they_are_not_visible_are_still_missing() {
        let it = Case::new().knows_ports();
        // As in another mount namespace.
        let nowhere =
            |id| answer_with("chardev-change", move |_| format!(r#"{{"return": {{}}, "id": {id}}}"#));
        let _monitor = it.monitor((2..6).map(nowhere).collect());
        let error = it.mend().await.unwrap_err();
        assert!(
            matches!(&error, InstanceError::SocketGone { path, .. } if *path == it.live.machine.qga),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_qemu_refuses_is_reported_in_its_words() {
        let it = Case::new().knows_ports();
        let refusal = r#"{"error": {"class": "GenericError", "desc": "no hotswap"}, "id": 2}"#;
        let _monitor = it.monitor(vec![answer_with("chardev-change", |_| refusal.to_owned())]);
        let error = it.mend().await.unwrap_err();
        assert!(error.to_string().contains("no hotswap"), "{error}");
        assert!(it.dir.path().join("run/sockets").is_dir());
    }
}
