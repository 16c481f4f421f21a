//! Removing what nothing needs: images, snapshots, downloads, and what killed commands have left.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use base::events::{Event, Reporter};
use base::files::{FileError, FileLock, create_private_dir, entries, present};
use base::space;
use image::arch::Arch;
use serde::Serialize;
use vm::boot_files::UNFINISHED;
use vm::disk_lock;
use vm::home::Home;

use crate::home::HomeExt;
use crate::images::files::{INCOMING, boot_files, role, stacks};
use crate::images::store::Images;
use crate::images::users::Users;
use crate::instance::Instance;
use crate::instance::registry::Registry;
use crate::name::InstanceName;
use crate::snapshot::store::Store;

/// Something that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unneeded {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that it takes on the disk.
    pub bytes: u64,
}

/// What something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An image that was replaced.
    Image,
    /// A snapshot from which no session would start.
    Snapshot,
    /// An unfinished download.
    Download,
    /// What a command that was killed has read out of an image, or left of an instance.
    Leftover,
    /// An instance whose directory is gone. It has data, which [`prune`] does not touch.
    Instance,
}

/// An instance that belongs to a directory that is gone, such as a removed worktree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name.
    pub name: InstanceName,
    /// The directory that is gone.
    pub directory: PathBuf,
    /// The instance's files.
    pub path: PathBuf,
    /// Bytes that they take on the disk.
    pub bytes: u64,
}

/// Finds the instances whose directories are gone. A directory on a disk that is not mounted looks like one that was removed, so that
/// a person decides about them.
///
/// # Errors
/// When the instances cannot be listed.
pub fn orphans(home: &Home) -> Result<Vec<Orphan>, FileError> {
    let orphan = |name: InstanceName| {
        let instance = Instance::new(home, name.clone());
        let directory = instance.directory().filter(|dir| matches!(present(dir), Ok(false)))?;
        let path = instance.dir().root().to_owned();
        Some(Orphan { name, directory, bytes: space::used(&path), path })
    };
    Ok(Registry::new(home).names()?.into_iter().filter_map(orphan).collect())
}

impl Unneeded {
    fn of(kind: Kind, path: PathBuf) -> Self {
        Self { kind, bytes: space::used(&path), path }
    }
}

/// Removes what nothing needs: replaced images without data on them, snapshots from which no session would start, unfinished
/// downloads, and what killed commands have left. A rehearsal only lists it.
///
/// # Errors
/// When something cannot be listed or removed.
pub async fn prune(
    home: &Home,
    rehearsal: bool,
    reporter: &dyn Reporter,
) -> Result<Vec<Unneeded>, FileError> {
    let registry = Registry::new(home);
    let mut found = Vec::new();
    if present(&home.images())? {
        let wait = || reporter.report(&Event::Notice("an instance is being started: waiting for it"));
        let _alone = FileLock::acquire(&home.images_lock(), wait).await?;
        found.extend(old_images(home, &registry, rehearsal)?);
        found.extend(leftovers(home, rehearsal)?);
        let mut current = BTreeSet::new();
        for stack in stacks(&entries(&home.images())?) {
            let home = home.clone().for_stack(stack);
            for arch in Arch::ALL {
                current.extend(Images::new(&home).current(arch)?);
            }
        }
        // Measured before it is removed: this is the space that is freed.
        let store = Store::new(home);
        let doomed = store.sweep(&current, &registry, true).await?;
        found.extend(doomed.into_iter().map(|dir| Unneeded::of(Kind::Snapshot, dir)));
        if !rehearsal {
            store.sweep(&current, &registry, false).await?;
        }
    }
    found.extend(old_downloads(home, rehearsal)?);
    found.extend(deleted_instances(&registry, rehearsal)?);
    Ok(found)
}

fn old_images(home: &Home, users: &dyn Users, rehearsal: bool) -> Result<Vec<Unneeded>, FileError> {
    let users = users.users()?;
    let mut found = Vec::new();
    for path in entries(&home.images())? {
        let old = role(&path).is_some_and(|role| !role.current);
        let needed =
            || users.iter().any(|user| user.may_need_file(home, &path)) || disk_lock::may_be_held(&path);
        if !old || needed() {
            continue;
        }
        let boot = boot_files(&path);
        found.push(Unneeded::of(Kind::Image, path.clone()));
        if !rehearsal {
            fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
            if present(&boot)? {
                fs::remove_dir_all(&boot).map_err(FileError::of("remove", &boot))?;
            }
        }
    }
    Ok(found)
}

/// To be called while no instance is being started.
fn leftovers(home: &Home, rehearsal: bool) -> Result<Vec<Unneeded>, FileError> {
    let mut found = Vec::new();
    let mut locks = Vec::new();
    create_private_dir(&home.downloads())?;
    for arch in Arch::ALL {
        // A pull reads its image before it waits for starts.
        let Some(lock) = FileLock::try_acquire(&home.download_lock(arch))? else { return Ok(found) };
        locks.push(lock);
    }
    for path in entries(&home.images())? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(UNFINISHED) && !name.starts_with(INCOMING) {
            continue;
        }
        found.push(Unneeded::of(Kind::Leftover, path.clone()));
        if !rehearsal {
            fs::remove_dir_all(&path).map_err(FileError::of("remove", &path))?;
        }
    }
    Ok(found)
}

fn old_downloads(home: &Home, rehearsal: bool) -> Result<Vec<Unneeded>, FileError> {
    let mut found = Vec::new();
    for arch in Arch::ALL {
        let part = fetch::download::part_of(&home.download(arch));
        if !present(&part)? {
            continue;
        }
        // The process that holds the lock works on it.
        let Some(_lock) = FileLock::try_acquire(&home.download_lock(arch))? else { continue };
        found.push(Unneeded::of(Kind::Download, part.clone()));
        if !rehearsal {
            fetch::download::discard(&home.download(arch))?;
        }
    }
    Ok(found)
}

/// What commands that were killed have left of instances that they were deleting.
fn deleted_instances(registry: &Registry<'_>, rehearsal: bool) -> Result<Vec<Unneeded>, FileError> {
    let mut found = Vec::new();
    for deleted in registry.deleted()? {
        found.push(Unneeded::of(Kind::Leftover, deleted.path().to_owned()));
        if !rehearsal {
            deleted.remove()?;
        }
    }
    Ok(found)
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use base::digest;
    use base::events::Silent;

    use super::*;
    use crate::images::files::superseded;
    use crate::instance::record::{self, Record};
    use crate::snapshot::SnapshotDir;

    #[tokio::test]
    async fn an_instance_whose_directory_is_gone_is_found_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let there = tempfile::tempdir().unwrap();
        let gone = there.path().join("removed");
        for (name, directory) in
            [("gone", Some(&gone)), ("there", Some(&there.path().to_owned())), ("named", None)]
        {
            let instance = Instance::new(&home, name.parse().unwrap());
            create_private_dir(instance.dir().root()).unwrap();
            let record = Record { directory: directory.cloned(), ..Record::new(instance.name().clone()) };
            record::write(&instance.dir().record(), &record).unwrap();
        }
        assert_eq!(prune(&home, false, &Silent).await.unwrap(), []);
        let [orphan] = <[Orphan; 1]>::try_from(orphans(&home).unwrap()).unwrap();
        assert_eq!((orphan.name.as_str(), &orphan.directory), ("gone", &gone));
        assert!(orphan.bytes > 0);
    }

    #[tokio::test]
    async fn what_a_process_has_open_is_neither_pruned_nor_lost_by_a_pull() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let images = Images::new(&home);
        let image = home.image(Arch::Amd64);
        create_private_dir(&home.images()).unwrap();
        fs::write(&image, "image").unwrap();
        let kept = superseded(&image, digest::of_bytes(b"image"));

        images.keep_old(Arch::Amd64, &Registry::new(&home)).unwrap();
        assert!(!kept.exists());
        let held = fake_image::hold(&image);
        images.keep_old(Arch::Amd64, &Registry::new(&home)).unwrap();
        assert!(kept.exists());
        let snapshot = SnapshotDir::of(&home, "amd64-template-1");
        fs::create_dir_all(snapshot.root()).unwrap();
        fs::write(snapshot.disk(), "disk").unwrap();
        let held_too = fake_image::hold(&snapshot.disk());

        assert_eq!(prune(&home, false, &Silent).await.unwrap(), []);
        drop((held, held_too));
        let pruned = prune(&home, false, &Silent).await.unwrap();
        let pruned: Vec<_> = pruned.iter().map(|unneeded| unneeded.path.as_path()).collect();
        assert_eq!(pruned, [kept.as_path(), snapshot.root()]);
    }
}
