//! The root of a container: the layers of its image, read-only, below a directory of its own that takes what it writes.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    },
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use protocol::containers::{Container, LAYERS, WRITABLE, WRITTEN};
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, open, openat2},
    io::Errno,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, mount_change, move_mount,
    },
    thread::{UnshareFlags, unshare_unsafe},
};

/// The permission bits of a mode.
const PERMISSIONS: u32 = 0o7777;

/// The root of one container.
pub(super) struct Root {
    dir: OwnedFd,
}

/// Gives this process mounts of its own, which are gone when it has ended. It has to be the only thread.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn own_mounts() -> anyhow::Result<()> {
    // SAFETY: the process keeps its table of file descriptors.
    #[expect(unsafe_code, reason = "the standard library has no namespaces")]
    let unshared = unsafe { unshare_unsafe(UnshareFlags::NEWNS) };
    let below = MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM;
    unshared.and_then(|()| mount_change("/", below)).context("cannot have mounts of its own")
}

impl Root {
    /// Mounts the root of `container` at `at`, which is created.
    ///
    /// # Errors
    /// When a layer is missing, or the kernel refuses.
    pub(super) fn mount(container: &Container, at: &Path) -> anyhow::Result<Self> {
        // What is appended is below what was there: the topmost layer comes first.
        let layers: Vec<_> =
            container.layers.iter().rev().map(|layer| Path::new(LAYERS).join(layer)).collect();
        let writable = Path::new(WRITABLE).join(&container.name);
        let (upper, work) = (writable.join(WRITTEN), writable.join("work"));
        let top = layers.first().context("it has no layers")?;
        fs::create_dir_all(&work).with_context(|| format!("cannot create `{}`", work.display()))?;
        create_upper(&upper, top).with_context(|| format!("cannot create `{}`", upper.display()))?;
        fs::create_dir_all(at).with_context(|| format!("cannot create `{}`", at.display()))?;
        overlay(&layers, &upper, &work, at)
            .with_context(|| format!("cannot mount the layers of `{}`", container.name))?;
        let dir = open(at, OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH, Mode::empty())
            .with_context(|| format!("cannot open `{}`", at.display()))?;
        Ok(Self { dir })
    }

    /// Reads a text file in it; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&self, path: &str) -> io::Result<Option<String>> {
        let Some(file) = self.open(path, OFlags::RDONLY)? else { return Ok(None) };
        let mut text = Vec::new();
        File::from(file).read_to_end(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }

    /// Opens a directory in it; `None` if there is none.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(super) fn directory(&self, path: &str) -> io::Result<Option<OwnedFd>> {
        self.open(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// A symbolic link in it leads to a place in it.
    fn open(&self, path: &str, flags: OFlags) -> io::Result<Option<OwnedFd>> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        match openat2(&self.dir, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Creates the directory for what the container writes. Its owner and permissions are those of the root, which it shows.
fn create_upper(upper: &Path, top: &Path) -> io::Result<()> {
    if upper.exists() {
        return Ok(());
    }
    let metadata = fs::metadata(top)?;
    let beside = upper.with_extension("new");
    fs::create_dir_all(&beside)?;
    chown(&beside, Some(metadata.uid()), Some(metadata.gid()))?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(metadata.mode() & PERMISSIONS))?;
    fs::rename(beside, upper)
}

/// Mounts with one option for each layer: all of them in one text would not fit into a page.
fn overlay(layers: &[PathBuf], upper: &Path, work: &Path, at: &Path) -> io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers {
        fsconfig_set_string(&context, "lowerdir+", layer.as_path())?;
    }
    fsconfig_set_string(&context, "upperdir", upper)?;
    fsconfig_set_string(&context, "workdir", work)?;
    fsconfig_create(&context)?;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NOATIME)?;
    Ok(move_mount(&mount, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?)
}
