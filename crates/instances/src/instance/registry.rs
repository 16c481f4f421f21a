//! All instances of a home: their names and states, what their data needs, and what deleted ones have left.

use std::path::PathBuf;

use base::files::{FileError, entries};
use base::space;
use image::arch::Arch;
use time::OffsetDateTime;
use vm::error::one_line;
use vm::home::Home;
use vm::process::ProcessIdentity;
use vm::process::usage::{self, Usage};

use super::Instance;
use super::delete::Deleted;
use super::dir::{DELETED, InstanceDir};
use super::live::Live;
use super::needs;
use super::record::{self, Record};
use super::state::State;
use super::suspension::Suspension;
use crate::home::HomeExt;
use crate::images::users::{User, Users};
use crate::name::InstanceName;

/// The instances of a home.
#[derive(Debug, Clone)]
pub struct Registry<'a> {
    home: &'a Home,
}

/// What is known about an instance without a request to its machine.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Its name.
    pub name: InstanceName,
    /// Architecture of its machine; none where no record says.
    pub arch: Option<Arch>,
    /// The name of its [`State`]; "broken" also where that cannot be determined.
    pub state: &'static str,
    /// What is wrong, in words.
    pub reasons: Vec<String>,
    /// Host ports by their names in the manifest: all of a running machine, or else those that were given by flag.
    pub ports: Vec<(String, u16)>,
    /// Memory of the machine in MiB; none where there is no machine, and none is suspended.
    pub memory_mib: Option<u64>,
    /// What the running machine uses of the host, where the operating system says so.
    pub usage: Option<Usage>,
    /// Bytes that everything in its directory takes on the disk.
    pub disk_bytes: u64,
    /// The directory that it belongs to.
    pub directory: Option<PathBuf>,
    /// When it was first started.
    pub created_at: Option<OffsetDateTime>,
    /// When the running machine was started.
    pub started_at: Option<OffsetDateTime>,
}

impl<'a> Registry<'a> {
    /// The instances of `home`.
    pub fn new(home: &'a Home) -> Self {
        Self { home }
    }

    /// Their names, sorted.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn names(&self) -> Result<Vec<InstanceName>, FileError> {
        self.names_after("")
    }

    /// The instance whose machine is the process `pid`, as far as their records can be read.
    pub(crate) fn with_process(&self, pid: u32) -> Option<InstanceName> {
        let runs = |name: &InstanceName| {
            let live = record::read::<Live>(&InstanceDir::new(self.home, name).live()).ok().flatten();
            let process = live.and_then(|live| live.machine.process);
            process.is_some_and(|process| {
                u32::try_from(process.pid) == Ok(pid) && process.is_alive().unwrap_or(false)
            })
        };
        self.names().ok()?.into_iter().find(runs)
    }

    /// Those of the entries that begin with `prefix`, without it.
    fn names_after(&self, prefix: &str) -> Result<Vec<InstanceName>, FileError> {
        let dirs = entries(&self.home.instances())?;
        let names =
            dirs.iter().filter_map(|dir| dir.file_name()?.to_str()?.strip_prefix(prefix)?.parse().ok());
        Ok(names.collect())
    }

    /// The state of each. One whose state cannot be determined is listed with the reason.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub async fn list(&self) -> Result<Vec<Summary>, FileError> {
        let instances = self.names()?.into_iter().map(|name| Instance::new(self.home, name));
        let (mut summaries, processes): (Vec<_>, Vec<_>) = instances.map(|it| Summary::of(&it)).unzip();
        let running: Vec<_> = processes.iter().flatten().copied().collect();
        let mut usage = usage::of(&running).await.into_iter();
        for (summary, _) in summaries.iter_mut().zip(&processes).filter(|(_, process)| process.is_some()) {
            summary.usage = usage.next().flatten();
        }
        Ok(summaries)
    }

    /// What is left of instances whose deletion was cut short.
    ///
    /// # Errors
    /// When they cannot be listed or locked.
    pub(crate) fn deleted(&self) -> Result<Vec<Deleted>, FileError> {
        let dirs = self.names_after(DELETED)?.into_iter().map(|name| InstanceDir::new(self.home, &name));
        dirs.filter_map(|dir| Deleted::of(dir).transpose()).collect()
    }
}

impl Users for Registry<'_> {
    fn users(&self) -> Result<Vec<User>, FileError> {
        let user = |name: InstanceName| {
            let needs = needs::of(&InstanceDir::new(self.home, &name))?;
            Some(User { name, needs })
        };
        Ok(self.names()?.into_iter().filter_map(user).collect())
    }
}

impl Summary {
    /// Of this instance, whose usage is still to be found out, and the process of the running machine.
    fn of(instance: &Instance) -> (Self, Option<ProcessIdentity>) {
        let dir = instance.dir();
        let (state, reasons, live) = match instance.state() {
            Ok(state) => {
                let reasons = reasons(instance, &state);
                let name = state.name();
                match state {
                    State::Starting(live) | State::Running(live) => (name, reasons, Some(live)),
                    _ => (name, reasons, None),
                }
            }
            Err(error) => ("broken", vec![one_line(&error)], None),
        };
        // The state has reported what is wrong with it.
        let record = record::read::<Record>(&dir.record()).ok().flatten();
        let suspension = || record::read::<Suspension>(&dir.suspension()).ok().flatten();
        let process = live.as_ref().and_then(|live| live.machine.process);
        let summary = Self {
            name: instance.name().clone(),
            arch: live.as_ref().map(|live| live.topology().arch).or_else(|| record.as_ref()?.arch),
            state,
            reasons,
            ports: ports(live.as_ref(), record.as_ref()),
            memory_mib: match &live {
                Some(live) => Some(live.topology().memory_mib),
                None => suspension().map(|suspension| suspension.state.fingerprint.topology.memory_mib),
            },
            usage: None,
            disk_bytes: space::used(dir.root()),
            created_at: record.as_ref().map(|record| record.created_at),
            started_at: live.as_ref().map(|live| live.run.started_at),
            directory: record.and_then(|record| record.directory),
        };
        (summary, process)
    }
}

/// What is wrong with an instance in this state.
fn reasons(instance: &Instance, state: &State) -> Vec<String> {
    let mut reasons: Vec<_> = match state {
        State::Broken(faults) => faults.iter().map(ToString::to_string).collect(),
        State::Elsewhere(elsewhere) => vec![elsewhere.to_string()],
        _ => Vec::new(),
    };
    match instance.concerns(state) {
        Ok(concerns) => reasons.extend(concerns.iter().map(ToString::to_string)),
        Err(error) => reasons.push(one_line(&error)),
    }
    reasons
}

fn ports(live: Option<&Live>, record: Option<&Record>) -> Vec<(String, u16)> {
    match (live, record) {
        (Some(live), _) => live.stack.ports.iter().map(|port| (port.name.clone(), port.host)).collect(),
        (None, Some(record)) => record.ports.clone().into_iter().collect(),
        (None, None) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use base::files::create_private_dir;

    use super::*;

    #[tokio::test]
    async fn instances_are_sorted_and_nothing_else_is_one() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let registry = Registry::new(&home);
        assert_eq!(registry.list().await.unwrap(), []);
        for name in ["b", "a", ".deleted-c", "Not a name"] {
            create_private_dir(&home.instances().join(name)).unwrap();
        }
        fs::write(home.instances().join(".a.lock"), "").unwrap();
        let names: Vec<_> = registry.names().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"]);
    }

    #[tokio::test]
    async fn an_instance_that_cannot_be_examined_does_not_hide_the_others() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        create_private_dir(&home.instances()).unwrap();
        std::os::unix::fs::symlink("/no/such/disk", home.instances().join("gone")).unwrap();
        let whole = InstanceDir::new(&home, &"whole".parse().unwrap());
        create_private_dir(whole.root()).unwrap();
        let ports = BTreeMap::from([("backend".to_owned(), 30_001)]);
        let record = Record { arch: Some(Arch::Arm64), ports, ..Record::new("whole".parse().unwrap()) };
        record::write(&whole.record(), &record).unwrap();

        let [gone, whole] = <[Summary; 2]>::try_from(Registry::new(&home).list().await.unwrap()).unwrap();
        assert_eq!(gone.state, "broken");
        assert!(gone.reasons[0].contains("is a link to `/no/such/disk`"), "{:?}", gone.reasons);
        assert_eq!((whole.state, whole.arch), ("stopped", Some(Arch::Arm64)));
        assert_eq!(whole.reasons, [""; 0]);
        assert_eq!(whole.ports, [("backend".to_owned(), 30_001)]);
        assert_eq!(whole.created_at, Some(record.created_at));
        assert!(whole.disk_bytes > 0);
    }
}
