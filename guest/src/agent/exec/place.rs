//! As whom, where and with which variables a command runs: root's, or those of a service, as its main process has them.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use base::process::User;
use protocol::services::Services;

use crate::{
    agent::{
        accounts::{Account, account},
        units::GROUPS,
    },
    environment,
};

/// Where the kernel shows processes.
const PROC: &str = "/proc";

/// Where a command is looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin";

/// Text is UTF-8.
const LANG: &str = "C.UTF-8";

/// What systemd tells a service about itself, which is not true of another process: `systemd.exec(5)`.
const OF_THE_PROCESS: [&str; 11] = [
    "CREDENTIALS_DIRECTORY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "MAINPID",
    "MEMORY_PRESSURE_WATCH",
    "MEMORY_PRESSURE_WRITE",
    "NOTIFY_SOCKET",
    "SYSTEMD_EXEC_PID",
];

/// The place of a command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) user: User,
    pub(super) dir: PathBuf,
    pub(super) env: BTreeMap<String, OsString>,
}

/// The service has no process.
#[derive(Debug, thiserror::Error)]
#[error("service `{0}` is not running in the machine")]
pub(super) struct NotRunning(pub(super) String);

impl Place {
    /// root's own.
    pub(super) fn root() -> Self {
        let account = Account {
            name: "root".to_owned(),
            uid: 0,
            gid: 0,
            home: "/root".to_owned(),
            shell: "/bin/sh".to_owned(),
        };
        Self {
            user: User { uid: 0, gid: 0, groups: vec![0] },
            dir: PathBuf::from(&account.home),
            env: usual(Some(account)),
        }
    }

    /// That of the service `name`.
    pub(super) fn of_service(name: &str, services: &Services) -> anyhow::Result<Self> {
        let Some(service) = services.services.iter().find(|service| service.name == name) else {
            let known: Vec<_> = services.services.iter().map(|service| service.name.as_str()).collect();
            bail!("there is no service `{}`: there are {}", name.escape_debug(), known.join(", "));
        };
        let pid = main_process(&Path::new(GROUPS).join(&service.unit), Path::new(PROC));
        let pid = pid.ok_or_else(|| NotRunning(name.to_owned()))?;
        let process = Path::new(PROC).join(pid.to_string());
        Self::of_process(&process)
            .with_context(|| format!("cannot read what the main process ({pid}) of `{name}` has"))
    }

    pub(super) fn of_process(process: &Path) -> anyhow::Result<Self> {
        let user = user(&fs::read_to_string(process.join("status"))?).context("it has no user")?;
        let dir = fs::read_link(process.join("cwd"))?;
        let mut env = usual(account(user.uid)?);
        env.extend(variables(&fs::read(process.join("environ"))?));
        overlay(&mut env, &user)?;
        Ok(Self { user, dir, env })
    }
}

/// Adds what the session lays over the environment of the services that may read it.
fn overlay(env: &mut BTreeMap<String, OsString>, user: &User) -> anyhow::Result<()> {
    let file = environment::session_file();
    if fs::metadata(&file).is_ok_and(|metadata| metadata.uid() == user.uid) {
        let session = environment::overlaid(std::iter::empty(), &file)?;
        env.extend(session.into_iter().map(|(name, value)| (name, value.into())));
    }
    Ok(())
}

/// What every command has, whatever a service's process shows: some overwrite their environment with their title.
fn usual(account: Option<Account>) -> BTreeMap<String, OsString> {
    let mut env = vec![("PATH", PATH.to_owned()), ("LANG", LANG.to_owned())];
    if let Some(Account { name, home, shell, .. }) = account {
        env.extend([("HOME", home), ("SHELL", shell), ("LOGNAME", name.clone()), ("USER", name)]);
    }
    env.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// The variables in a process's environment (`proc_pid_environ(5)`), without those that are only about that process.
fn variables(environ: &[u8]) -> BTreeMap<String, OsString> {
    let entries = environ.split(|byte| *byte == 0).filter_map(|entry| {
        let (name, value) = entry.split_at(entry.iter().position(|byte| *byte == b'=')?);
        let name = str::from_utf8(name).ok().filter(|name| is_name(name))?;
        let of_the_process = OF_THE_PROCESS.contains(&name) || name.starts_with("WATCHDOG_");
        (!of_the_process).then(|| (name.to_owned(), OsString::from_vec(value[1..].to_vec())))
    });
    entries.collect()
}

fn is_name(name: &str) -> bool {
    let known = |character: char| character.is_ascii_alphanumeric() || character == '_';
    !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit()) && name.chars().all(known)
}

/// The process in a control group that systemd itself has started.
fn main_process(group: &Path, proc: &Path) -> Option<u32> {
    let text = fs::read_to_string(group.join("cgroup.procs")).ok()?;
    let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
    let parent = |pid: &u32| {
        let status = fs::read_to_string(proc.join(pid.to_string()).join("status")).ok()?;
        numbers(&status, "PPid:").next()
    };
    pids.iter().find(|pid| parent(pid) == Some(1)).or(pids.first()).copied()
}

/// The user in `proc_pid_status(5)`: of its four ids of each kind, the one that counts for files.
fn user(status: &str) -> Option<User> {
    Some(User {
        uid: numbers(status, "Uid:").nth(1)?,
        gid: numbers(status, "Gid:").nth(1)?,
        groups: numbers(status, "Groups:").collect(),
    })
}

fn numbers<'a>(status: &'a str, field: &str) -> impl Iterator<Item = u32> + 'a {
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().map_while(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use protocol::services::Service;

    use super::*;

    const STATUS: &str =
        "Name:\tpostgres\nPPid:\t1\nUid:\t100\t101\t100\t100\nGid:\t102\t103\t102\t102\nGroups:\t103 104 \n";

    #[test]
    fn a_user_is_the_effective_one_with_all_groups() {
        assert_eq!(user(STATUS), Some(User { uid: 101, gid: 103, groups: vec![103, 104] }));
        assert_eq!(user("Name:\tx\n"), None);
    }

    #[test]
    fn variables_about_the_process_itself_are_left_out() {
        let environ = b"PGDATA=/data=1\0NOTIFY_SOCKET=/run/n\0WATCHDOG_USEC=1\0LANG=C\0junk\x001A=x\0\0";
        let shown: Vec<_> = variables(environ).into_iter().collect();
        let pair = |name: &str, value: &str| (name.to_owned(), OsString::from(value));
        assert_eq!(shown, [pair("LANG", "C"), pair("PGDATA", "/data=1")]);
    }

    #[test]
    fn the_main_process_is_the_one_that_systemd_has_started() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("cgroup.procs"), "7\n9\n").unwrap();
        for (pid, parent) in [(7, 9), (9, 1)] {
            let process = dir.path().join(pid.to_string());
            fs::create_dir(&process).unwrap();
            fs::write(process.join("status"), format!("PPid:\t{parent}\n")).unwrap();
        }
        assert_eq!(main_process(dir.path(), dir.path()), Some(9));
        fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        assert_eq!(main_process(dir.path(), dir.path()), None);
        assert_eq!(main_process(&dir.path().join("none"), dir.path()), None);
    }

    #[test]
    fn a_process_shows_its_own_place() {
        let place = Place::of_process(Path::new("/proc/self")).unwrap();
        assert_eq!(place.user.uid, rustix::process::geteuid().as_raw());
        assert_eq!(place.dir, std::env::current_dir().unwrap());
        assert!(place.env.contains_key("PATH"));
    }

    #[test]
    fn unknown_and_stopped_services_are_distinguished() {
        let service = Service {
            name: "store".into(),
            unit: "no-such.service".into(),
            orders: Vec::new(),
            ports: Vec::new(),
            warm_up: Vec::new(),
        };
        let services = Services { name: "shop".into(), services: vec![service] };
        let unknown = Place::of_service("stor", &services).unwrap_err();
        assert_eq!(unknown.to_string(), "there is no service `stor`: there are store");
        let stopped = Place::of_service("store", &services).unwrap_err();
        assert!(stopped.is::<NotRunning>(), "{stopped}");
    }
}
