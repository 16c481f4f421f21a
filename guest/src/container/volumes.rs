//! Volumes: directories of this machine that outlive their containers. A new one begins with what the image has at its place.

use std::{
    fs, io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::process::Cmd;
use protocol::containers::{Container, VOLUMES, Volume};

use super::root::Root;
use crate::service;

/// Permissions of a volume whose place the image does not have.
const NEW: u32 = 0o755;

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// The directory of a volume.
pub(super) fn path(volume: &Volume) -> PathBuf {
    Path::new(VOLUMES).join(&volume.name)
}

/// Creates those of the container's volumes that are not there yet.
///
/// # Errors
/// When one cannot be created or filled.
pub(super) fn create(container: &Container, root: &Root) -> anyhow::Result<()> {
    for volume in &container.volumes {
        let path = path(volume);
        if !path.exists() {
            create_one(volume, &path, &container.name, root)
                .with_context(|| format!("cannot create the volume `{}`", volume.name))?;
        }
    }
    Ok(())
}

/// It gets its name when it is complete. Two containers that share it may do this at the same time: the first one wins.
fn create_one(volume: &Volume, path: &Path, container: &str, root: &Root) -> anyhow::Result<()> {
    // No volume has such a name: they begin with a letter or a digit.
    let beside = path.with_file_name(format!(".{}.{container}", volume.name));
    base::files::remove_dir_if_there(&beside)?;
    fs::create_dir_all(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(NEW))?;
    if let Some(source) = root.directory(&volume.target)? {
        if volume.copy {
            copy(&source, &beside)?;
        }
        let metadata = fs::File::from(source).metadata()?;
        chown(&beside, Some(metadata.uid()), Some(metadata.gid()))?;
        fs::set_permissions(&beside, fs::Permissions::from_mode(metadata.mode() & PERMISSIONS))?;
    }
    match fs::rename(&beside, path) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {
            Ok(base::files::remove_dir_if_there(&beside)?)
        }
        renamed => Ok(renamed?),
    }
}

/// Copies what is in a directory, with owners, permissions, links and attributes.
fn copy(source: &OwnedFd, to: &Path) -> anyhow::Result<()> {
    let from = format!("/proc/{}/fd/{}/.", std::process::id(), source.as_raw_fd());
    let cmd = Cmd::new("cp").args(["--archive", "--no-target-directory"]).arg(from).arg(to);
    service::run(async { cmd.output().await })??;
    Ok(())
}
