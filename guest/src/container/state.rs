//! The state of a container, in a file of its runtime directory: the supervisor writes it, and the agent reads it for the host.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use base::files::{PRIVATE_FILE, write_json};
use protocol::{
    containers::{STATE_FILE, State, Status},
    services::Services,
};
use tracing::warn;

use super::{find, runtime_dir};

/// Where systemd keeps the control groups of services.
const GROUPS: &str = "/sys/fs/cgroup/system.slice";

/// The state that a supervisor keeps.
pub(super) struct Kept {
    path: PathBuf,
    state: State,
}

impl Kept {
    /// Begins with what the supervisor before this one has left: a program that has ended is being started again.
    pub(super) fn begin(runtime: &Path) -> Self {
        let path = runtime.join(STATE_FILE);
        let state = successor(read(&path));
        let kept = Self { path, state };
        kept.write();
        kept
    }

    /// The state.
    pub(super) fn status(&self) -> Status {
        self.state.status
    }

    /// Changes it. One that stays the same is not written again.
    pub(super) fn set(&mut self, status: Status, reason: Option<String>) {
        let state = State { status, reason, restarts: self.state.restarts };
        if state != self.state {
            self.state = state;
            self.write();
        }
    }

    /// The container does its work without a state: this does not end it.
    fn write(&self) {
        if let Err(error) = write_json(&self.path, &self.state, PRIVATE_FILE) {
            warn!("cannot write the state: {}", crate::report(&error));
        }
    }
}

/// How a container is that was just started, after one that was like `previous`.
fn successor(previous: Option<State>) -> State {
    match previous {
        Some(State { status: Status::Completed | Status::Failed | Status::Restarting, reason, restarts }) => {
            let reason = reason.or_else(|| Some("its program had ended".to_owned()));
            State { status: Status::Restarting, reason, restarts: restarts.saturating_add(1) }
        }
        Some(State { restarts, .. }) => State { restarts, ..State::of(Status::Starting) },
        None => State::of(Status::Starting),
    }
}

/// The states of all containers among `services`, by their names.
pub(crate) fn all(services: &Services) -> BTreeMap<String, State> {
    let containers =
        services.services.iter().filter(|service| find(&service.name).is_ok_and(|it| it.is_some()));
    let state = |name: &str, unit: &str| {
        let written = read(&runtime_dir(name).join(STATE_FILE));
        observed(written, has_processes(&Path::new(GROUPS).join(unit)))
    };
    containers.map(|service| (service.name.clone(), state(&service.name, &service.unit))).collect()
}

/// What is true of a container whose supervisor has written `written`, and may have been killed.
fn observed(written: Option<State>, has_processes: bool) -> State {
    match written {
        Some(state) if has_processes || matches!(state.status, Status::Completed | Status::Failed) => state,
        _ => State { reason: Some("its service does not run".to_owned()), ..State::of(Status::Stopped) },
    }
}

fn has_processes(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.procs")).is_ok_and(|text| !text.is_empty())
}

fn read(path: &Path) -> Option<State> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> State {
        State { status: Status::Failed, reason: Some("it exited with status 3".into()), restarts: 1 }
    }

    #[test]
    fn a_start_after_an_end_is_a_restart_with_its_reason() {
        let next = successor(Some(failed()));
        assert_eq!(next, State { status: Status::Restarting, restarts: 2, ..failed() });
        assert_eq!(successor(Some(next.clone())).restarts, 3);
        let ended = successor(Some(State::of(Status::Completed)));
        assert_eq!(ended.reason.as_deref(), Some("its program had ended"));
    }

    #[test]
    fn a_start_after_a_stop_is_nothing_to_report() {
        assert_eq!(successor(None), State::of(Status::Starting));
        assert_eq!(successor(Some(State::of(Status::Stopped))), State::of(Status::Starting));
    }

    #[test]
    fn what_a_dead_supervisor_has_written_is_not_believed() {
        assert_eq!(observed(Some(State::of(Status::Healthy)), true).status, Status::Healthy);
        assert_eq!(observed(Some(State::of(Status::Healthy)), false).status, Status::Stopped);
        assert_eq!(observed(Some(failed()), false), failed());
        assert_eq!(observed(None, true).status, Status::Stopped);
    }

    #[test]
    fn a_state_is_written_when_it_changes() {
        let dir = tempfile::tempdir().unwrap();
        let mut kept = Kept::begin(dir.path());
        kept.set(Status::Unhealthy, Some("its check failed".into()));
        assert_eq!(read(&dir.path().join(STATE_FILE)), Some(kept.state.clone()));
        fs::remove_file(dir.path().join(STATE_FILE)).unwrap();
        kept.set(Status::Unhealthy, Some("its check failed".into()));
        assert_eq!(read(&dir.path().join(STATE_FILE)), None);
    }
}
