//! Installing an image, and keeping a replaced one that an instance has data on.

use std::fs;
use std::io;
use std::path::Path;

use base::digest::{self, Sha256};
use base::events::{Event, Reporter};
use base::files::{
    FileError, FileLock, PRIVATE_FILE, create_private_dir, present, publish, read_document, write_atomic,
};
use image::arch::Arch;
use serde::{Deserialize, Serialize};
use vm::boot_files::{BootFiles, BootFilesError, replace_dir};
use vm::disk::QemuImg;
use vm::disk_lock;
use vm::home::Home;

use super::files::{INCOMING, boot_files, superseded};
use super::users::Users;
use crate::home::HomeExt;

/// Version of the format of [`Origin`] that this program writes and reads.
pub const ORIGIN_VERSION: u32 = 1;

/// The images of a home.
#[derive(Debug, Clone)]
pub struct Images<'a> {
    pub(super) home: &'a Home,
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

    /// SHA-256 of the image for `arch`; `None` when there is none. One whose boot files are missing is read.
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

    /// Verifies that `file` is an image for `arch`, and atomically replaces the current one by it. That one is
    /// kept if an instance has data on it.
    ///
    /// # Errors
    /// When it is not one, or cannot be put there; the old one is then where it was.
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
        let boot = BootFiles::of_new(file, origin.sha256, &incoming, arch, img).await?;
        let (found, wanted) = (boot.manifest.stack.name, self.home.stack());
        if found != wanted {
            return Err(BootFilesError::OtherStack { found, wanted: wanted.to_owned() });
        }
        let _alone = self.before_replacing(arch, users, reporter).await?;
        let image = self.home.image(arch);
        publish(file, &image)?;
        // Until the next step the boot files do not fit, which is noticed when they are read.
        replace_dir(&incoming, &self.home.boot_files(arch))?;
        let json = serde_json::to_vec_pretty(origin).expect("it serialises");
        Ok(write_atomic(&self.home.image_origin(arch), &json, PRIVATE_FILE)?)
    }

    /// Keeps the image for `arch` if an instance has data on it, since another one is about to replace it. To be held until it has.
    ///
    /// # Errors
    /// When the lock cannot be taken, or the image cannot be kept.
    pub async fn before_replacing(
        &self,
        arch: Arch,
        users: &dyn Users,
        reporter: &dyn Reporter,
    ) -> Result<FileLock, FileError> {
        create_private_dir(&self.home.images())?;
        let wait = || reporter.report(&Event::Notice("an instance is being started: waiting for it"));
        let alone = FileLock::acquire(&self.home.images_lock(), wait).await?;
        self.keep_old(arch, users)?;
        Ok(alone)
    }

    /// Gives the image for `arch` a second name if an instance has data on it, or a process has it open.
    pub(crate) fn keep_old(&self, arch: Arch, users: &dyn Users) -> Result<(), FileError> {
        let image = self.home.image(arch);
        let users = users.users()?;
        // By a machine of another container, or of another host, even if no record mentions it any more.
        let is_held = disk_lock::may_be_held(&image);
        if users.is_empty() && !is_held {
            return Ok(());
        }
        let Some(sha256) = self.current(arch)? else { return Ok(()) };
        if !is_held && !users.iter().any(|user| user.may_need(sha256)) {
            return Ok(());
        }
        let kept = superseded(&image, sha256);
        match fs::hard_link(&image, &kept) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("keep the old image as", &kept)(error));
            }
            _ => {}
        }
        let boot = self.home.boot_files(arch);
        if present(&boot)? { replace_dir(&boot, &boot_files(&kept)) } else { Ok(()) }
    }
}
