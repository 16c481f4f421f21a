//! The images of a home: which ones there are, putting a new one in an old one's place, and keeping an old one that somebody has data on.
//!
//! What a session has written lies on one image and is garbage on any other. So an image that is replaced stays beside the new
//! one, by a name that its SHA-256 is in, for as long as an instance has data on it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::events::{Event, Reporter};
use base::files::{
    FileError, FileLock, PRIVATE_FILE, create_private_dir, entries, present, publish, read_document,
    write_atomic,
};
use image::arch::Arch;
use image::manifest::Manifest;
use serde::{Deserialize, Serialize};
use vm::boot_files::{BootFiles, BootFilesError, replace_dir};
use vm::disk::QemuImg;
use vm::disk_lock;
use vm::home::{self, Home};

use crate::name::InstanceName;
use users::{Needs, User, Users};

pub mod identity;
pub mod users;

/// Version of the format of [`Origin`] that this program writes and reads.
pub const ORIGIN_VERSION: u32 = 1;

pub mod pull;

/// What the boot files of an image that is not in its place yet are called, before its architecture.
pub(crate) const INCOMING: &str = ".incoming-";

/// The images of a home.
#[derive(Debug, Clone)]
pub struct Images<'a> {
    home: &'a Home,
}

/// Where an image came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// [`ORIGIN_VERSION`] of the writer.
    pub schema_version: u32,
    /// Repository and release, run or file, for people.
    pub name: String,
    /// Digest of what was transferred: that of the image, or of the archive that it was in.
    pub transfer: Option<Sha256>,
    /// SHA-256 of the image itself.
    pub sha256: Sha256,
}

impl Origin {
    /// Where the image with this SHA-256 came from, and the digest of what was transferred.
    pub fn new(name: String, transfer: Option<Sha256>, sha256: Sha256) -> Self {
        Self { schema_version: ORIGIN_VERSION, name, transfer, sha256 }
    }
}

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Architecture of its guest.
    pub arch: Arch,
    /// Whether new sessions begin with it; if not, it is there for the instances that have data on it.
    pub current: bool,
    /// Size in bytes.
    pub size: u64,
    /// Its SHA-256, when it has been looked at.
    pub sha256: Option<Sha256>,
    /// Its manifest, when it has been looked at.
    pub manifest: Option<Manifest>,
    /// Where it came from, when that is known.
    pub origin: Option<String>,
    /// The instances that have data on it, or may have because their records cannot be used.
    pub instances: Vec<InstanceName>,
}

/// The boot files of the image at `path`.
pub fn boot_files(path: &Path) -> PathBuf {
    path.with_extension("boot")
}

impl<'a> Images<'a> {
    /// The images of `home`.
    pub fn new(home: &'a Home) -> Self {
        Self { home }
    }

    /// Keeps images from being replaced and removed until it is dropped. To be held from the choice of one until a record says
    /// that it is needed.
    ///
    /// # Errors
    /// When the lock cannot be taken.
    pub async fn keep(&self, reporter: &dyn Reporter) -> Result<FileLock, FileError> {
        create_private_dir(&self.home.images())?;
        let wait = || reporter.report(&Event::Notice("another command changes the images: waiting for it"));
        FileLock::shared(&self.home.images_lock(), wait).await
    }

    /// SHA-256 of the image for `arch`; `None` when there is none. One that has not been looked at is read.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn current(&self, arch: Arch) -> Result<Option<Sha256>, FileError> {
        let path = self.home.image(arch);
        if let Some((record, _)) = BootFiles::known(&path, &self.home.boot_files(arch)) {
            return Ok(Some(record.sha256));
        }
        match digest::of_file(&path) {
            Ok(sha256) => Ok(Some(sha256)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::of("read", &path)(error)),
        }
    }

    /// Where the image for `arch` came from, when that is known and it is still the one.
    pub fn origin(&self, arch: Arch) -> Option<Origin> {
        let bytes = read_document(&self.home.image_origin(arch)).ok()?;
        let origin: Origin = serde_json::from_slice(&bytes).ok()?;
        let current = self.current(arch).ok()??;
        (origin.schema_version <= ORIGIN_VERSION && origin.sha256 == current).then_some(origin)
    }

    /// Proves that `file` is an image for `arch`, and puts it in the place of the one that there is, at one stroke. That one is
    /// kept if an instance has data on it.
    ///
    /// # Errors
    /// When it is none, or cannot be put there; the old one is then where it was.
    pub async fn install(
        &self,
        arch: Arch,
        file: &Path,
        origin: &Origin,
        users: &dyn Users,
        img: &QemuImg,
        reporter: &dyn Reporter,
    ) -> Result<(), BootFilesError> {
        create_private_dir(&self.home.images())?;
        let incoming = self.home.images().join(format!("{INCOMING}{arch}.boot"));
        BootFiles::of_new(file, origin.sha256, &incoming, arch, img).await?;
        let wait = || reporter.report(&Event::Notice("an instance is being started: waiting for it"));
        let _alone = FileLock::acquire(&self.home.images_lock(), wait).await?;
        self.keep_old(arch, users)?;
        let image = self.home.image(arch);
        publish(file, &image)?;
        // Between here and there the boot files do not fit, which whoever reads them notices.
        replace_dir(&incoming, &self.home.boot_files(arch))?;
        let json = serde_json::to_vec_pretty(origin).expect("it serialises");
        Ok(write_atomic(&self.home.image_origin(arch), &json, PRIVATE_FILE)?)
    }

    /// Gives the image for `arch` a second name if an instance has data on it, or a process has it open.
    pub(crate) fn keep_old(&self, arch: Arch, users: &dyn Users) -> Result<(), FileError> {
        let image = self.home.image(arch);
        let users = users.users()?;
        // By a machine of another container, or of another host, even if nobody speaks of it any more.
        let is_held = disk_lock::may_be_held(&image);
        if users.is_empty() && !is_held {
            return Ok(());
        }
        let Some(sha256) = self.current(arch)? else { return Ok(()) };
        if !is_held && !users.iter().any(|user| user.may_need(sha256)) {
            return Ok(());
        }
        let kept = home::superseded(&image, sha256);
        match fs::hard_link(&image, &kept) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("keep the old image as", &kept)(error));
            }
            _ => {}
        }
        let boot = self.home.boot_files(arch);
        if present(&boot)? { replace_dir(&boot, &boot_files(&kept)) } else { Ok(()) }
    }

    /// Every image, the current ones first.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list(&self, users: &dyn Users) -> Result<Vec<Listed>, FileError> {
        let users = users.users()?;
        let mut images = Vec::new();
        for path in entries(&self.home.images())? {
            let Some((arch, current)) = role(&path) else { continue };
            let Ok(data) = fs::metadata(&path) else { continue };
            let known = BootFiles::known(&path, &boot_files(&path));
            let (record, manifest) = known.unzip();
            let sha256 = record.map(|record| record.sha256);
            let is_below = |user: &&User| match sha256 {
                Some(sha256) => user.may_need(sha256),
                None => user.may_need_file(self.home, &path),
            };
            let instances = users.iter().filter(is_below).map(|user| user.name.clone()).collect();
            let origin = if current { self.origin(arch).map(|origin| origin.name) } else { None };
            images.push(Listed {
                path,
                arch,
                current,
                size: data.len(),
                sha256,
                manifest,
                origin,
                instances,
            });
        }
        images.sort_by_key(|image| (!image.current, image.arch, image.path.clone()));
        Ok(images)
    }

    /// The instances that may have data on any image and any snapshot, and why that cannot be told.
    ///
    /// # Errors
    /// When the instances cannot be listed.
    pub fn unknown(users: &dyn Users) -> Result<Vec<(InstanceName, String)>, FileError> {
        let unknown = |user: User| match user.needs {
            Needs::Any(why) => Some((user.name, why)),
            Needs::Of { .. } => None,
        };
        Ok(users.users()?.into_iter().filter_map(unknown).collect())
    }
}

/// Which architecture the image at `path` is for, and whether it is the current one; `None` for what is no image.
pub(crate) fn role(path: &Path) -> Option<(Arch, bool)> {
    let name = path.file_name()?.to_str()?;
    Arch::ALL.into_iter().find_map(|arch| {
        let file = arch.image_file();
        let rest = name.strip_prefix(file.strip_suffix(".qcow2")?)?.strip_suffix(".qcow2")?;
        (rest.is_empty() || rest.starts_with('-')).then_some((arch, rest.is_empty()))
    })
}
