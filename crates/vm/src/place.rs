//! Where a process runs: a pid means something only in its namespace, of one boot, of one host. A home may be shared by
//! containers, and by hosts over a network.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::error::Explain;
use crate::process::{ProcessIdentity, VmProcessError};
use crate::socket;
use serde::{Deserialize, Serialize};

use crate::disk_lock;

/// Where a process was started. What could not be found out is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The kernel's number of this boot.
    pub boot: Option<String>,
    /// The namespace that pids are of.
    pub pid_namespace: Option<u64>,
    /// The namespace that ports are of.
    pub network_namespace: Option<u64>,
    /// What the installation of the system calls itself. Copies of one image may have the same.
    pub machine_id: Option<String>,
    /// The host's name.
    pub host: String,
}

/// What is known of a process that a record speaks of.
#[derive(Debug)]
pub enum Sight {
    /// It runs, and can be seen.
    Alive,
    /// It does not run any more.
    Gone,
    /// It runs, and is another one's: what speaks of it is a copy.
    Copied,
    /// It runs, or may run, where this program cannot see it.
    Elsewhere(Elsewhere),
}

/// A machine that is not for this program to touch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Elsewhere {
    /// It was started in another place, and runs there.
    #[error("a machine that was started {origin} runs on the disk `{}`", disk.display())]
    Runs {
        /// The other place, in words.
        origin: String,
        /// Its disk.
        disk: PathBuf,
    },
    /// Nothing is known of it but that it has the disk.
    #[error("another program has the disk `{}` open", .0.display())]
    DiskInUse(PathBuf),
    /// It was started in another place, and whether it runs is not known.
    #[error("cannot tell from here whether the machine that was started {origin} still runs")]
    Unknown {
        /// The other place, in words.
        origin: String,
        /// The record that speaks of it.
        record: PathBuf,
    },
}

impl Explain for Elsewhere {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Runs { .. } => "stop it where it was started".to_owned(),
            Self::DiskInUse(disk) => {
                format!("find that program with `fuser -v {}`, and end it", disk.display())
            }
            Self::Unknown { record, .. } => format!(
                "stop it there; if that host or container is gone for certain, remove `{}`",
                record.display()
            ),
        })
    }
}

/// What a record says of a process, and where else it shows.
#[derive(Debug, Clone, Copy)]
pub struct Traces<'a> {
    /// The process, if it was noted.
    pub process: Option<ProcessIdentity>,
    /// Where it was started; none in records of earlier versions.
    pub place: Option<&'a Place>,
    /// The disk that it writes to.
    pub disk: &'a Path,
    /// What [`inode`] of that disk was, if it was noted.
    pub inode: Option<u64>,
    /// The monitor's socket.
    pub qmp: Option<&'a Path>,
    /// The record.
    pub record: &'a Path,
}

impl Traces<'_> {
    /// Looks whether the process runs: by its pid where that means something, and else by its disk and its monitor.
    ///
    /// # Errors
    /// When the operating system refuses to tell.
    pub fn look(&self) -> Result<Sight, VmProcessError> {
        self.seen_from(&Place::here())
    }

    fn seen_from(&self, here: &Place) -> Result<Sight, VmProcessError> {
        let Some(place) = self.place else {
            // An earlier version has not said where it was: its disk tells at least whether it is gone.
            if let Some(alive) = self.alive()? {
                return Ok(alive);
            }
            let in_use = self.process.is_some() && self.holds_disk()?;
            return Ok(if in_use {
                Sight::Elsewhere(Elsewhere::DiskInUse(self.disk.to_owned()))
            } else {
                Sight::Gone
            });
        };
        if here.sees(place) {
            return Ok(self.alive()?.unwrap_or(Sight::Gone));
        }
        let origin = place.from(here);
        if self.holds_disk()? || (!self.is_copy() && self.qmp.is_some_and(listens)) {
            return Ok(Sight::Elsewhere(Elsewhere::Runs { origin, disk: self.disk.to_owned() }));
        }
        if place.has_ended(here, self.disk) {
            return Ok(Sight::Gone);
        }
        Ok(Sight::Elsewhere(Elsewhere::Unknown { origin, record: self.record.to_owned() }))
    }

    /// Whose the process is, if it runs.
    fn alive(&self) -> Result<Option<Sight>, VmProcessError> {
        if !self.process.map_or(Ok(false), ProcessIdentity::is_alive)? {
            return Ok(None);
        }
        // A disk that somebody has open is not a mere copy, whatever a file system says of its inode.
        Ok(Some(if self.is_copy() && !self.holds_disk()? { Sight::Copied } else { Sight::Alive }))
    }

    /// Whether the disk is another file than the one that the process was started on.
    fn is_copy(&self) -> bool {
        self.inode.zip(inode(self.disk)).is_some_and(|(noted, found)| noted != found)
    }

    fn holds_disk(&self) -> Result<bool, VmProcessError> {
        let pid = self.process.map_or(0, |process| process.pid);
        let error = |source| VmProcessError::Io { action: "look at the disk of", pid, source };
        disk_lock::is_held(self.disk).map_err(error)
    }
}

/// The number by which the file system knows the file at `path`, which a copy of it does not have.
pub fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|data| data.ino())
}

/// Whether somebody listens at the socket, without waiting for a place in its queue.
fn listens(path: &Path) -> bool {
    use rustix::io::Errno;
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

    let Ok(reachable) = socket::Address::of(path) else { return false };
    let Ok(address) = SocketAddrUnix::new(reachable.path()) else { return false };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let Ok(ours) = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None) else { return false };
    // A queue that is full is one that somebody keeps.
    matches!(connect(&ours, &address), Ok(()) | Err(Errno::AGAIN))
}

impl Place {
    /// Where this program runs.
    pub fn here() -> Self {
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        platform::here(host)
    }

    /// Whether a process that was started in `other` has its ports where this program is. Unknown counts as yes.
    pub fn shares_network(&self, other: &Self) -> bool {
        match (self.network_namespace, other.network_namespace) {
            (Some(own), Some(other)) => own == other,
            _ => true,
        }
    }

    /// Whether pids of `other` are pids here.
    fn sees(&self, other: &Self) -> bool {
        if cfg!(target_os = "linux") {
            self.same_boot(other) && same(self.pid_namespace.as_ref(), other.pid_namespace.as_ref())
        } else {
            true
        }
    }

    fn same_boot(&self, other: &Self) -> bool {
        same(self.boot.as_ref(), other.boot.as_ref())
    }

    /// Whether a process of this place must have ended, given that its disk is not locked.
    fn has_ended(&self, here: &Self, disk: &Path) -> bool {
        if self.same_boot(here) {
            // One kernel, which would know the lock.
            return true;
        }
        let other_boot = self.boot.is_some() && here.boot.is_some();
        let same_host = same(self.machine_id.as_ref(), here.machine_id.as_ref()) && self.host == here.host;
        // Two kernels never have one local file system mounted, so the other one is gone.
        other_boot && (same_host || platform::is_local(disk))
    }

    /// The place in words, as it is seen from `here`.
    fn from(&self, here: &Self) -> String {
        let host = &self.host;
        match self.pid_namespace {
            Some(namespace) if self.same_boot(here) => {
                format!("in another container (host `{host}`, pid namespace {namespace})")
            }
            _ => format!("elsewhere (host `{host}`)"),
        }
    }
}

fn same<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
    one.is_some() && one == other
}

#[cfg(target_os = "linux")]
mod platform {
    use std::fs;
    use std::os::unix::fs::MetadataExt;
    use std::path::Path;

    use super::Place;

    /// File systems that only one kernel has mounted, by their numbers in `statfs`: ext, Btrfs, XFS, F2FS, bcachefs, ZFS,
    /// tmpfs, overlayfs.
    const LOCAL: [u32; 8] =
        [0xef53, 0x9123_683e, 0x5846_5342, 0xf2f5_2010, 0xca45_1a4e, 0x2fc1_2fc1, 0x0102_1994, 0x794c_7630];

    pub(super) fn here(host: String) -> Place {
        Place {
            boot: line("/proc/sys/kernel/random/boot_id"),
            pid_namespace: namespace("pid").filter(|_| has_own_table()),
            network_namespace: namespace("net"),
            machine_id: line("/etc/machine-id"),
            host,
        }
    }

    /// Whether `/proc` is the process table of this process's own namespace.
    fn has_own_table() -> bool {
        let own = std::process::id().to_string();
        fs::read_link("/proc/self").is_ok_and(|target| target.as_os_str() == own.as_str())
    }

    fn namespace(kind: &str) -> Option<u64> {
        fs::metadata(format!("/proc/self/ns/{kind}")).ok().map(|data| data.ino())
    }

    fn line(path: &str) -> Option<String> {
        let text = fs::read_to_string(path).ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    pub(super) fn is_local(path: &Path) -> bool {
        let dir = path.parent().unwrap_or(path);
        let kind = rustix::fs::statfs(dir).ok().and_then(|data| u32::try_from(data.f_type).ok());
        kind.is_some_and(|kind| LOCAL.contains(&kind))
    }
}

#[cfg(not(target_os = "linux"))]
mod platform {
    use std::path::Path;

    use super::Place;

    pub(super) fn here(host: String) -> Place {
        Place { boot: None, pid_namespace: None, network_namespace: None, machine_id: None, host }
    }

    pub(super) fn is_local(_path: &Path) -> bool {
        false
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    struct Case {
        dir: tempfile::TempDir,
        here: Place,
    }

    impl Case {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join("disk"), "data").unwrap();
            Self { dir, here: Place::here() }
        }

        fn disk(&self) -> PathBuf {
            self.dir.path().join("disk")
        }

        /// What is seen of a process with a pid that no process has here.
        fn look(&self, place: Option<&Place>, disk: &Path) -> Sight {
            let qmp = self.dir.path().join("qmp");
            let process = Some(ProcessIdentity { pid: i32::MAX, started: 1 });
            let record = Path::new("/record");
            let traces = Traces { process, place, disk, inode: None, qmp: Some(&qmp), record };
            traces.seen_from(&self.here).unwrap()
        }

        fn in_container(&self) -> Place {
            Place { pid_namespace: Some(1), host: "other".to_owned(), ..self.here.clone() }
        }

        fn of_other_boot(&self) -> Place {
            Place { boot: Some("another".to_owned()), ..self.here.clone() }
        }
    }

    #[test]
    fn a_pid_is_proof_only_where_the_process_was_started() {
        let it = Case::new();
        assert!(matches!(it.look(Some(&it.here), &it.disk()), Sight::Gone));
        let _held = fake_image::hold(&it.disk());
        assert!(matches!(it.look(Some(&it.here), &it.disk()), Sight::Gone));
        let Sight::Elsewhere(seen) = it.look(Some(&it.in_container()), &it.disk()) else {
            panic!("not seen")
        };
        let text = seen.to_string();
        assert!(text.contains("in another container (host `other`, pid namespace 1) runs on"), "{text}");
    }

    #[test]
    fn a_container_without_an_open_disk_and_a_monitor_has_ended() {
        let it = Case::new();
        assert!(matches!(it.look(Some(&it.in_container()), &it.disk()), Sight::Gone));
    }

    #[test]
    fn a_monitor_that_can_be_reached_is_a_sign_of_life() {
        let it = Case::new();
        let _monitor = std::os::unix::net::UnixListener::bind(it.dir.path().join("qmp")).unwrap();
        let seen = it.look(Some(&it.in_container()), &it.disk());
        assert!(matches!(seen, Sight::Elsewhere(Elsewhere::Runs { .. })), "{seen:?}");
    }

    #[test]
    fn a_process_of_an_earlier_boot_is_gone_unless_the_disk_is_in_use() {
        let it = Case::new();
        assert!(matches!(it.look(Some(&it.of_other_boot()), &it.disk()), Sight::Gone));
        let _held = fake_image::hold(&it.disk());
        let seen = it.look(Some(&it.of_other_boot()), &it.disk());
        assert!(matches!(seen, Sight::Elsewhere(Elsewhere::Runs { .. })), "{seen:?}");
    }

    #[test]
    fn whether_another_host_runs_a_machine_is_not_guessed() {
        let it = Case::new();
        let place = Place { host: "other".to_owned(), ..it.of_other_boot() };
        // Its file system is none of those that only one kernel has mounted.
        let seen = it.look(Some(&place), Path::new("/proc/no-disk"));
        let Sight::Elsewhere(unknown) = seen else { panic!("{seen:?}") };
        assert!(matches!(unknown, Elsewhere::Unknown { .. }), "{unknown}");
        assert!(unknown.hint().unwrap().contains("remove `/record`"));
        let unnamed = Place { boot: None, ..it.here.clone() };
        let seen = it.look(Some(&unnamed), &it.disk());
        assert!(matches!(seen, Sight::Elsewhere(Elsewhere::Unknown { .. })), "{seen:?}");
    }

    #[test]
    fn a_record_of_an_earlier_version_is_believed_unless_the_disk_is_in_use() {
        let it = Case::new();
        assert!(matches!(it.look(None, &it.disk()), Sight::Gone));
        let _held = fake_image::hold(&it.disk());
        let seen = it.look(None, &it.disk());
        assert!(matches!(seen, Sight::Elsewhere(Elsewhere::DiskInUse(_))), "{seen:?}");
    }

    #[test]
    fn a_copied_record_is_not_about_the_process_of_the_original() {
        let it = Case::new();
        let process = ProcessIdentity::of(std::process::id().try_into().unwrap()).unwrap();
        let (disk, copy) = (it.disk(), it.dir.path().join("copy"));
        std::fs::copy(&disk, &copy).unwrap();
        let monitor = it.dir.path().join("qmp");
        let _monitor = std::os::unix::net::UnixListener::bind(&monitor).unwrap();
        let look = |disk: &Path, place: &Place| {
            let (place, qmp, record) = (Some(place), Some(monitor.as_path()), Path::new("/record"));
            let inode = inode(&it.disk());
            Traces { process, place, disk, inode, qmp, record }.seen_from(&it.here).unwrap()
        };
        assert!(matches!(look(&disk, &it.here), Sight::Alive));
        assert!(matches!(look(&copy, &it.here), Sight::Copied));
        assert!(matches!(look(&disk, &it.in_container()), Sight::Elsewhere(Elsewhere::Runs { .. })));
        assert!(matches!(look(&copy, &it.in_container()), Sight::Gone));
        let _held = fake_image::hold(&copy);
        assert!(matches!(look(&copy, &it.here), Sight::Alive), "a file system may give out other numbers");
    }

    #[test]
    fn a_place_survives_json_and_knows_its_network() {
        let here = Place::here();
        let text = serde_json::to_string(&here).unwrap();
        assert_eq!(serde_json::from_str::<Place>(&text).unwrap(), here);
        assert!(here.boot.is_some() && here.pid_namespace.is_some());
        let apart = Place { network_namespace: Some(1), ..here.clone() };
        assert!(here.shares_network(&here) && !here.shares_network(&apart));
    }
}
