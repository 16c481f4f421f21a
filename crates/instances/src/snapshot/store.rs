//! All snapshots of a home: which one fits, which ones can be removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::events::{Event, Reporter};
use base::files::{FileError, FileLock, PRIVATE_FILE, create_private_dir, entries, present, write_atomic};
use base::refusal;
use image::arch::Arch;
use vm::disk_lock;
use vm::home::Home;
use vm::saving::Strategy;

use super::manifest::Unusable;
use super::{Snapshot, SnapshotDir};
use crate::home::HomeExt;
use crate::images::users::{Needs, Users};
use crate::saved::Fingerprint;

/// Prefix of a directory in which a snapshot is being created.
pub(super) const UNFINISHED: &str = ".capture-";

/// Prefix of a directory that was a snapshot and is being removed.
pub(super) const DOOMED: &str = ".doomed-";

/// The snapshots of a home.
#[derive(Debug, Clone)]
pub struct Store<'a> {
    home: &'a Home,
}

/// What a search has found.
#[derive(Debug)]
pub enum Found {
    /// One that fits, and whose files are whole.
    Fits(Box<Snapshot>),
    /// None; and why the ones that are there cannot be used.
    Nothing {
        /// A reason for each, the newest snapshot's first.
        because: Vec<String>,
    },
}

impl<'a> Store<'a> {
    /// The snapshots of `home`.
    pub fn new(home: &'a Home) -> Self {
        Self { home }
    }

    /// Where they are.
    pub(super) fn root(&self) -> PathBuf {
        self.home.snapshots()
    }

    /// Keeps snapshots from being removed until it is dropped. To be held from the choice of one until a record shows that it
    /// is needed.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    pub async fn keep(&self, reporter: &dyn Reporter) -> Result<FileLock, FileError> {
        create_private_dir(&self.root())?;
        let wait =
            || reporter.report(&Event::Notice("another command changes the snapshots: waiting for it"));
        FileLock::shared(&self.lock(), wait).await
    }

    fn lock(&self) -> PathBuf {
        self.root().join(".lock")
    }

    /// The lock of the command that creates a snapshot.
    pub(super) fn capture_lock(&self) -> PathBuf {
        self.root().join(".capture.lock")
    }

    /// Finds the newest snapshot with this fingerprint that was created with `strategy` and is undamaged.
    ///
    /// # Errors
    /// When the directory cannot be read, or the host refuses to read a snapshot for now.
    pub fn find(&self, fingerprint: &Fingerprint, strategy: Strategy) -> Result<Found, FileError> {
        let prefix = prefix(fingerprint.topology.arch, strategy);
        let mut because = Vec::new();
        for name in self.names()?.into_iter().rev().filter(|name| name.starts_with(&prefix)) {
            let snapshot = match Snapshot::read(self.root().join(&name)) {
                Ok(snapshot) => snapshot,
                Err(Unusable::File(error)) if refusal::is_cause(&error) => return Err(error),
                Err(reason) => {
                    because.push(format!("snapshot `{name}` cannot be used: {reason}"));
                    continue;
                }
            };
            let differences = snapshot.manifest.state.fingerprint.differences(fingerprint);
            if !differences.is_empty() {
                because.push(format!("snapshot `{name}` is of another machine: {}", differences.join(", ")));
                continue;
            }
            match snapshot.verify() {
                Ok(()) => return Ok(Found::Fits(Box::new(snapshot))),
                Err(Unusable::File(error)) if refusal::is_cause(&error) => return Err(error),
                Err(reason) => because.push(format!("snapshot `{name}` is damaged: {reason}")),
            }
        }
        Ok(Found::Nothing { because })
    }

    /// Names of all finished snapshots, in the order in which they were created.
    fn names(&self) -> Result<BTreeSet<String>, FileError> {
        let dirs = entries(&self.root())?;
        let names = dirs.iter().filter_map(|dir| dir.file_name()?.to_str());
        Ok(names.filter(|name| !name.starts_with('.')).map(str::to_owned).collect())
    }

    /// Makes sure that a snapshot is not resumed again. Disks on top of it still need it.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn retire(&self, snapshot: &Snapshot, reason: &str) -> Result<(), FileError> {
        write_atomic(&snapshot.dir().retired(), format!("{reason}\n").as_bytes(), PRIVATE_FILE)
    }

    /// Gives the finished directory `from` its name.
    pub(super) async fn publish(&self, from: PathBuf, name: &str) -> Result<Snapshot, FileError> {
        let _alone = FileLock::acquire(&self.lock(), || ()).await?;
        let to = self.root().join(name);
        base::files::publish(&from, &to)?;
        let unreadable =
            |reason: Unusable| FileError::of("read", &to)(std::io::Error::other(reason.to_string()));
        Snapshot::read(to.clone()).map_err(unreadable)
    }

    /// Removes the snapshots that can never be resumed again now that there is `new`, unless an instance, or a process wherever it
    /// runs, has its disk on one.
    pub(super) async fn prune(&self, new: &Snapshot, users: &dyn Users) -> Result<(), FileError> {
        let doomed = {
            let _alone = FileLock::acquire(&self.lock(), || ()).await?;
            self.set_apart(new, users)?
        };
        // Removing so much takes longer than another command should wait for the lock.
        doomed.iter().try_for_each(|dir| fs::remove_dir_all(dir).map_err(FileError::of("remove", dir)))
    }

    /// Renames those snapshots.
    fn set_apart(&self, new: &Snapshot, users: &dyn Users) -> Result<Vec<PathBuf>, FileError> {
        let needed = self.needed(users)?;
        let Fingerprint { image, qemu, topology, .. } = &new.manifest.state.fingerprint;
        let prefix = prefix(topology.arch, new.manifest.state.strategy);
        let mut doomed = Vec::new();
        for name in self.names()? {
            let dir = self.root().join(&name);
            if !name.starts_with(&prefix)
                || name == new.name()
                || needed.contains(&name)
                || disk_lock::may_be_held(&SnapshotDir::new(&dir).disk())
            {
                continue;
            }
            // A snapshot of another size of machine on the same image is still valid; a damaged one is not.
            let lives = lives(Snapshot::read(dir.clone()), |old| {
                old.image == *image && old.qemu == *qemu && old.topology != *topology
            });
            if !lives {
                doomed.push(self.doom(&dir)?);
            }
        }
        Ok(doomed)
    }

    /// Renames the snapshot in `dir`, and returns what has to be removed now.
    fn doom(&self, dir: &Path) -> Result<PathBuf, FileError> {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        let apart = self.root().join(format!("{DOOMED}{name}"));
        match fs::rename(dir, &apart) {
            Ok(()) => Ok(apart),
            // A directory of a container's image cannot be renamed. Without its manifest it is not a snapshot any more.
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
                let manifest = SnapshotDir::new(dir).manifest();
                match fs::remove_file(&manifest) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        Err(FileError::of("remove", &manifest)(error))
                    }
                    _ => Ok(dir.to_owned()),
                }
            }
            Err(error) => Err(FileError::of("rename", dir)(error)),
        }
    }

    /// Finds the snapshots from which no new session would start any more, because none of `images` (by SHA-256) is the one that they are of,
    /// or because they cannot be resumed, and that no instance and no process has its disk on; and removes them. A rehearsal only lists them.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub(crate) async fn sweep(
        &self,
        images: &BTreeSet<Sha256>,
        users: &dyn Users,
        rehearsal: bool,
    ) -> Result<Vec<PathBuf>, FileError> {
        if !present(&self.root())? {
            return Ok(Vec::new());
        }
        let _alone = FileLock::acquire(&self.lock(), || ()).await?;
        let needed = self.needed(users)?;
        let lives =
            |name: &str| lives(Snapshot::read(self.root().join(name)), |old| images.contains(&old.image));
        let is_held = |name: &str| disk_lock::may_be_held(&SnapshotDir::of(self.home, name).disk());
        let names = self.names()?.into_iter();
        let names = names.filter(|name| !needed.contains(name) && !lives(name) && !is_held(name));
        let doomed: Vec<_> = names.map(|name| self.root().join(name)).collect();
        for dir in doomed.iter().filter(|_| !rehearsal) {
            let apart = self.doom(dir)?;
            fs::remove_dir_all(&apart).map_err(FileError::of("remove", dir))?;
        }
        Ok(doomed)
    }

    /// Names of the snapshots that instances have their disks on. An instance for which that is unknown may need any.
    fn needed(&self, users: &dyn Users) -> Result<BTreeSet<String>, FileError> {
        let mut needed = BTreeSet::new();
        for user in users.users()? {
            match user.needs {
                Needs::Of { snapshot, .. } => needed.extend(snapshot),
                Needs::Any(_) => return self.names(),
            }
        }
        Ok(needed)
    }
}

/// Whether a snapshot can be used where it `fits`. One that cannot be read counts as usable.
fn lives(snapshot: Result<Snapshot, Unusable>, fits: impl FnOnce(&Fingerprint) -> bool) -> bool {
    match snapshot {
        Ok(snapshot) => fits(&snapshot.manifest.state.fingerprint),
        Err(reason) => matches!(reason, Unusable::File(_)),
    }
}

/// The start of the names of such snapshots.
pub(super) fn prefix(arch: Arch, strategy: Strategy) -> String {
    format!("{arch}-{strategy}-")
}
