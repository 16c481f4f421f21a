//! The session of an instance: its overlay, and the image that it stands on.

use std::path::{Path, PathBuf};

use host::files::create_private_dir;
use release::arch::Arch;
use time::OffsetDateTime;

use super::Instance;
use super::error::InstanceError;
use super::record::{ImageIdentity, Record, Session};
use crate::boot_files::BootFiles;
use crate::disk::QemuImg;
use crate::machine::DiskFile;

/// The image of a start: which one it is, and what it carries.
pub(super) struct Image {
    pub(super) identity: ImageIdentity,
    pub(super) boot: BootFiles,
}

impl Instance {
    /// The image that a start uses: the one asked for, else the one below the overlay, else the home's for `arch`.
    ///
    /// # Errors
    /// When it is missing, is none of ours, or is not the one that the overlay was made on.
    pub(super) async fn image(
        &self,
        record: &Record,
        asked: Option<&Path>,
        arch: Arch,
        img: &QemuImg,
    ) -> Result<Image, InstanceError> {
        let path: PathBuf = match (asked, &record.session) {
            (Some(path), _) => std::path::absolute(path).unwrap_or_else(|_| path.to_owned()),
            (None, Some(session)) => session.image.path.clone(),
            (None, None) => self.home.image(arch),
        };
        let boot = if path == self.home.image(arch) {
            BootFiles::of(&self.home, arch, img).await?
        } else {
            create_private_dir(self.dir.root())?;
            BootFiles::at(&path, &self.dir.boot_files(), arch, img).await?
        };
        let identity = ImageIdentity { path, sha256: boot.image.sha256.clone(), size: boot.image.stamp.size };
        if let Some(session) =
            record.session.as_ref().filter(|session| !session.image.same_content(&identity))
        {
            return Err(InstanceError::ImageChanged {
                name: self.name.clone(),
                path: identity.path,
                expected: session.image.sha256.clone(),
                found: identity.sha256,
            });
        }
        Ok(Image { identity, boot })
    }

    /// Makes sure that there is an overlay on `image`, and notes it in `record`.
    ///
    /// # Errors
    /// When it cannot be made, or is there without anybody knowing what it stands on.
    pub(super) async fn overlay(
        &self,
        record: &mut Record,
        image: &ImageIdentity,
        img: &QemuImg,
    ) -> Result<(), InstanceError> {
        let overlay = self.dir.overlay();
        let backing = DiskFile::qcow2(&image.path);
        match &mut record.session {
            Some(session) if session.image == *image => {}
            Some(session) => {
                // The same content in another place: the overlay names its image by path.
                img.rebase_onto_same(&DiskFile::qcow2(&overlay), &backing).await?;
                session.image = image.clone();
            }
            // Nobody knows what it stands on, so nobody may write to it, nor throw it away.
            None if overlay.exists() => return Err(InstanceError::UnknownOverlay(overlay)),
            None => {
                img.create_overlay(&backing, &overlay).await?;
                record.session =
                    Some(Session { image: image.clone(), created_at: OffsetDateTime::now_utc() });
            }
        }
        Ok(())
    }
}
