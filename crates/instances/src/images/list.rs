//! Lists the images of a home.

use std::fs;
use std::path::PathBuf;

use base::digest::Sha256;
use base::files::{FileError, entries};
use image::arch::Arch;
use image::manifest::Manifest;
use vm::boot_files::BootFiles;

use super::files::{Role, boot_files, role};
use super::store::Images;
use super::users::{User, Users};
use crate::name::InstanceName;

/// An image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The file.
    pub path: PathBuf,
    /// Name of its stack.
    pub stack: String,
    /// Architecture of its guest.
    pub arch: Arch,
    /// Whether new sessions start from it; if not, it is kept for the instances that have data on it.
    pub current: bool,
    /// Size in bytes.
    pub size: u64,
    /// Its SHA-256, when its boot files have been read.
    pub sha256: Option<Sha256>,
    /// Its manifest, when its boot files have been read.
    pub manifest: Option<Manifest>,
    /// Where it came from, when that is known.
    pub origin: Option<String>,
    /// The instances that have data on it, or may have because their records cannot be used.
    pub instances: Vec<InstanceName>,
}

impl Images<'_> {
    /// Every image, the current ones first.
    ///
    /// # Errors
    /// When the directory cannot be listed.
    pub fn list(&self, users: &dyn Users) -> Result<Vec<Listed>, FileError> {
        let users = users.users()?;
        let mut images = Vec::new();
        for path in entries(&self.home.images())? {
            let Some(Role { stack, arch, current }) = role(&path) else { continue };
            let Ok(data) = fs::metadata(&path) else { continue };
            let known = BootFiles::known(&path, &boot_files(&path));
            let (record, manifest) = known.unzip();
            let sha256 = record.map(|record| record.sha256);
            let is_below = |user: &&User| match sha256 {
                Some(sha256) => user.may_need(sha256),
                None => user.may_need_file(self.home, &path),
            };
            let instances = users.iter().filter(is_below).map(|user| user.name.clone()).collect();
            let home = self.home.clone().for_stack(&stack);
            let origin =
                if current { Images::new(&home).origin(arch).map(|origin| origin.name) } else { None };
            images.push(Listed {
                path,
                stack,
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
}
