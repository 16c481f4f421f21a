//! The session of an instance: its overlay, and the image below it.

use std::fs::File;
use std::path::{Path, PathBuf};

use base::files::{FileError, create_private_dir, create_private_file, present};
use fetch::local;
use image::arch::Arch;
use vm::boot_files::{BootFiles, BootFilesError};
use vm::disk::QemuImg;
use vm::machine::DiskFile;
use vm::proven::ProvenImage;
use vm::utf8;

use super::Instance;
use super::error::InstanceError;
use super::record::{ImageIdentity, Record, Session};
use super::start::{MachinePlan, Origin, Plan};
use crate::home::HomeExt;
use crate::images;
use crate::secrets;
use crate::snapshot::SnapshotDir;

/// The image of a start: its identity and its boot files.
pub(super) struct Image {
    pub(super) identity: ImageIdentity,
    pub(super) boot: BootFiles,
}

impl Instance {
    /// Finds the image that a start uses: the given one, else the one below the overlay, else the home's for `arch`.
    ///
    /// # Errors
    /// When it is missing, is not an image of this project, or is not the one on which the overlay was created.
    pub(super) async fn image(
        &self,
        record: &Record,
        asked: Option<&Path>,
        arch: Arch,
        img: &QemuImg,
    ) -> Result<Image, InstanceError> {
        let path: PathBuf = match (asked, &record.session) {
            (Some(path), _) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
                utf8::check("--image", &path)?;
                // A missing one is reported like the home's.
                if present(&path)? {
                    let name = arch.image_file_of(self.home.stack());
                    local::image(&path, &name).map_err(BootFilesError::from)?
                } else {
                    path
                }
            }
            (None, Some(session)) => session.image.location(&self.home),
            (None, None) => self.home.image(arch),
        };
        let boot = if path == self.home.image(arch) {
            BootFiles::of(&self.home, arch, img).await?
        } else if path.parent() == Some(self.home.images().as_path()) {
            BootFiles::at(&path, &images::files::boot_files(&path), arch, img).await?
        } else {
            create_private_dir(self.dir.root())?;
            BootFiles::at(&path, &self.dir.boot_files(), arch, img).await?
        };
        let identity = ImageIdentity {
            path: self.home.named(&path),
            sha256: boot.image.sha256,
            size: boot.image.stamp.size,
        };
        if let Some(session) =
            record.session.as_ref().filter(|session| !session.image.same_content(&identity))
        {
            return Err(InstanceError::ImageChanged {
                name: self.name.clone(),
                path,
                expected: session.image.sha256,
                found: identity.sha256,
            });
        }
        Ok(Image { identity, boot })
    }

    /// Prepares the session of a machine that is about to be started: the existing one, or a new one with a new overlay and, if
    /// `rotate`, secrets of its own.
    ///
    /// # Errors
    /// When the overlay cannot be created, or there are no random bytes.
    pub(super) async fn prepare_session(
        &self,
        session: Option<Session>,
        plan: &Plan,
        origin: &Origin,
        rotate: bool,
    ) -> Result<Session, InstanceError> {
        let MachinePlan { qemu, image, .. } = &plan.machine;
        let (manifest, file, image) = (&image.boot.manifest, &image.boot.file, &image.identity);
        let mut session = if let Some(session) = session {
            // The same content, perhaps in another place.
            Session { image: image.clone(), ..session }
        } else {
            let snapshot = if let Origin::Snapshot(snapshot) = origin {
                copy_private(&snapshot.dir().overlay(), &self.dir.overlay())?;
                Some(snapshot.name())
            } else {
                qemu.img().create_overlay(&file.disk(), &self.dir.overlay()).await?;
                None
            };
            let secrets = if rotate {
                Some(secrets::fresh(&manifest.stack.secrets).map_err(InstanceError::Random)?)
            } else {
                None
            };
            Session::new(image.clone(), snapshot, secrets)
        };
        session.generation += 1;
        Ok(session)
    }

    /// The disk of a session on `image`, with all that is below it.
    pub(super) fn root_disk(&self, session: &Session, image: &ProvenImage) -> DiskFile {
        let image = image.disk();
        let below = match &session.snapshot {
            Some(name) => DiskFile::qcow2(SnapshotDir::of(&self.home, name).disk()).on(image),
            None => image,
        };
        DiskFile::qcow2(self.dir.overlay()).on(below)
    }
}

/// Copies a small file to one that its owner may write to.
fn copy_private(from: &Path, to: &Path) -> Result<(), FileError> {
    let copy = || {
        let mut file = create_private_file(to)?;
        std::io::copy(&mut File::open(from)?, &mut file)
    };
    copy().map(drop).map_err(FileError::of("write", to))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use base::digest;
    use base::events::Silent;
    use vm::accel::Choice;
    use vm::boot_files::ImageRecord;
    use vm::error::{Class, Explain};
    use vm::home::Home;
    use vm::stamp::Stamp;

    use super::super::start::{Lasts, MachineOptions, StartOptions};
    use super::*;
    use crate::name::InstanceName;

    /// A home with an image whose boot files have been read out.
    struct Fabricated {
        home: tempfile::TempDir,
        instance: Instance,
    }

    impl Fabricated {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            let instance = Instance::new(&Home::new(home.path()), InstanceName::default());
            let it = Self { home, instance };
            Self::put(
                &it.instance.home.image(Arch::Amd64),
                &it.instance.home.boot_files(Arch::Amd64),
                "image",
            );
            it
        }

        fn put(image: &Path, boot: &Path, content: &str) {
            std::fs::create_dir_all(boot).unwrap();
            fake_image::write_empty(image);
            let mut file = std::fs::File::options().append(true).open(image).unwrap();
            file.write_all(content.as_bytes()).unwrap();
            let sha256 = digest::of_file(image).unwrap();
            let record = ImageRecord { sha256, stamp: Stamp::of(image).unwrap() };
            std::fs::write(boot.join("image.json"), serde_json::to_vec(&record).unwrap()).unwrap();
            std::fs::write(boot.join("manifest.json"), fake_image::manifest(Arch::Amd64).to_json()).unwrap();
            std::fs::write(boot.join("vmlinuz"), "").unwrap();
            std::fs::write(boot.join("initrd"), "").unwrap();
        }

        async fn image(&self, record: &Record, asked: Option<&Path>) -> Result<Image, InstanceError> {
            // The boot files are there already, so it is not used.
            let img = QemuImg::new("/no/such/qemu-img");
            self.instance.image(record, asked, Arch::Amd64, &img).await
        }

        fn record(&self, identity: ImageIdentity) -> Record {
            let session = Some(Session::new(identity, None, None));
            Record { session, ..Record::new(self.instance.name.clone()) }
        }
    }

    #[tokio::test]
    async fn another_image_under_the_data_is_refused_with_both_digests() {
        let it = Fabricated::new();
        let first = it.image(&Record::new(InstanceName::default()), None).await.unwrap().identity;
        let record = it.record(first.clone());
        assert_eq!(it.image(&record, None).await.unwrap().identity, first);

        let home = &it.instance.home;
        Fabricated::put(&home.image(Arch::Amd64), &home.boot_files(Arch::Amd64), "IMAGE");
        let error = it.image(&record, None).await.err().unwrap();
        assert_eq!(error.class(), Class::VerificationFailed);
        assert!(error.to_string().contains(&first.sha256.to_string()), "{error}");
    }

    #[tokio::test]
    async fn the_same_image_in_another_place_is_accepted() {
        let it = Fabricated::new();
        let first = it.image(&Record::new(InstanceName::default()), None).await.unwrap().identity;
        let moved = it.home.path().join("old.qcow2");
        Fabricated::put(&moved, &it.instance.dir.boot_files(), "image");
        let found = it.image(&it.record(first.clone()), Some(&moved)).await.unwrap().identity;
        assert!(found.same_content(&first));
        assert_eq!(found.path, Path::new("old.qcow2"), "named from the home on");
    }

    #[tokio::test]
    async fn an_image_is_found_in_a_directory_of_artifacts_and_no_web_page_is_used() {
        let it = Fabricated::new();
        let artifacts = it.home.path().join("artifacts");
        let file = artifacts.join("qemu-emulator-amd64").join(Arch::Amd64.image_file());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        Fabricated::put(&file, &it.instance.dir.boot_files(), "image");
        let record = Record::new(InstanceName::default());
        let found = it.image(&record, Some(&artifacts)).await.unwrap().identity.path;
        assert_eq!(it.home.path().join(found), file);
        std::fs::write(&file, "<html>").unwrap();
        let error = it.image(&record, Some(&artifacts)).await.err().unwrap();
        assert!(error.to_string().ends_with("is a web page, not an image"), "{error}");
    }

    #[tokio::test]
    async fn an_overlay_that_no_record_knows_is_neither_used_nor_deleted() {
        let it = Fabricated::new();
        create_private_dir(it.instance.dir.root()).unwrap();
        std::fs::write(it.instance.dir.overlay(), "data").unwrap();
        let options = StartOptions {
            machine: MachineOptions {
                accel: Choice::Auto,
                arch: Some(Arch::Amd64),
                cpus: None,
                memory_mib: None,
                image: None,
                timeout: None,
            },
            ports: Vec::new(),
            file_ports: Vec::new(),
            variable: &|_| None,
            warm_timeout: None,
            warm: false,
            strategy: None,
            rotate: true,
            directory: None,
            automatic_ports: false,
            lasts: Lasts::UntilStopped,
        };
        let error = it.instance.start(&options, &Silent).await.unwrap_err();
        assert!(matches!(error, InstanceError::UnknownOverlay { .. }), "{error}");
        assert!(it.instance.dir.overlay().exists());
    }
}
