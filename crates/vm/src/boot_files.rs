//! What an image carries for its own start: manifest, kernel and initial RAM file system, read out of its EFI system
//! partition once and kept next to it.
//!
//! Neither root nor a mount is needed: `qemu-img` copies the partition out of the qcow2, and the partition table and the
//! file system are read here.

use std::fs;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::files::{
    FileError, FileLock, PUBLIC_FILE, move_dir, read_document, remove_dir_if_there, write_atomic, write_json,
};
use fetch::local::LocalError;
use image::arch::Arch;
use image::manifest::{self, Manifest, ManifestError, PATH_IN_ESP};
use serde::{Deserialize, Serialize};

use crate::disk::{DiskError, QemuImg};
use crate::error::{Class, Explain};
use crate::home::Home;
use crate::machine::DirectBoot;
use crate::proven::{ImageError, ProvenImage};
use crate::stamp::Stamp;
use crate::volume::{Reader, VolumeError};

/// Bytes at the start of a disk that hold the partition table: protective MBR, header and 128 entries in sectors of 512
/// bytes, rounded up (UEFI specification, 5.3).
const TABLE_BYTES: u64 = 64 << 10;

/// Largest EFI system partition that is read out, in bytes: four times that of the images that are built.
const ESP_LIMIT: u64 = 1 << 30;

/// Largest kernel or initial RAM file system, in bytes.
const BOOT_FILE_LIMIT: u64 = 256 << 20;

/// Beginning of the names of directories that boot files are being read out into, next to their final place.
pub const UNFINISHED: &str = ".boot-";

const MANIFEST: &str = "manifest.json";
const KERNEL: &str = "vmlinuz";
const INITRD: &str = "initrd";
const RECORD: &str = "image.json";

/// What an image carries for its own start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootFiles {
    /// All that is known about the image.
    pub manifest: Manifest,
    /// Its kernel, on the host.
    pub kernel: PathBuf,
    /// Its initial RAM file system, on the host.
    pub initrd: PathBuf,
    /// The image that they were read from.
    pub image: ImageRecord,
    /// Its file.
    pub file: ProvenImage,
}

/// Which image the files belong to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageRecord {
    /// SHA-256 of the image file.
    pub sha256: Sha256,
    /// When and how large the image file was when it was hashed.
    #[serde(flatten)]
    pub stamp: Stamp,
}

/// Why the boot files of an image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BootFilesError {
    /// There is no image.
    #[error("there is no image for {arch}: `{}` does not exist", path.display())]
    NoImage {
        /// The architecture that was asked for.
        arch: Arch,
        /// Where it would be.
        path: PathBuf,
    },
    /// The named file is not an image.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The image may not be used.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It is damaged, or the partition cannot be copied out of it.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The image has no partition table that can be read.
    #[error("the image `{}` has no valid partition table", path.display())]
    Table {
        /// The image.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: gpt::GptError,
    },
    /// The image has a partition table without an EFI system partition.
    #[error("the image `{}` has no EFI system partition", .0.display())]
    NoEsp(PathBuf),
    /// The EFI system partition is larger than that of any image.
    #[error("the EFI system partition of the image `{}` has {bytes} bytes, and at most {ESP_LIMIT} are read", path.display())]
    LargeEsp {
        /// The image.
        path: PathBuf,
        /// The partition's size.
        bytes: u64,
    },
    /// The EFI system partition lacks a file.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The image is of another stack.
    #[error("it is an image of the stack `{found}`, not of `{wanted}`")]
    OtherStack {
        /// The stack that its manifest names.
        found: String,
        /// The one that was asked for.
        wanted: String,
    },
    /// The manifest is not one that this program understands.
    #[error("the image `{}` cannot be used", path.display())]
    Manifest {
        /// The image.
        path: PathBuf,
        /// What is wrong with its manifest.
        #[source]
        source: ManifestError,
    },
    /// The image is for another architecture than its name says.
    #[error("the image `{}` is for {found}", path.display())]
    WrongArch {
        /// The image.
        path: PathBuf,
        /// What its manifest says.
        found: Arch,
    },
}

impl Explain for BootFilesError {
    fn class(&self) -> Class {
        match self {
            Self::NoImage { .. } | Self::Local(_) | Self::File(_) => Class::Failed,
            Self::Image(source) => source.class(),
            Self::Disk(source) => source.class(),
            Self::Table { .. }
            | Self::NoEsp(_)
            | Self::LargeEsp { .. }
            | Self::Volume(_)
            | Self::OtherStack { .. }
            | Self::Manifest { .. }
            | Self::WrongArch { .. } => Class::VerificationFailed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Local(source) => source.hint(),
            _ => self.below()?.hint(),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Image(source) => Some(source),
            Self::Disk(source) => Some(source),
            _ => None,
        }
    }
}

impl BootFiles {
    /// Returns the boot files of the home's image for `arch`: the ones next to it if they belong to this very image,
    /// otherwise read out of it again.
    ///
    /// # Errors
    /// When there is no image, or it is not one of ours.
    pub async fn of(home: &Home, arch: Arch, img: &QemuImg) -> Result<Self, BootFilesError> {
        Self::at(&home.image(arch), &home.boot_files(arch), arch, img).await
    }

    /// Returns the boot files of any image: the ones in `dir` if they belong to this very image, otherwise read out
    /// of it again.
    ///
    /// # Errors
    /// As [`BootFiles::of`].
    pub async fn at(image: &Path, dir: &Path, arch: Arch, img: &QemuImg) -> Result<Self, BootFilesError> {
        let file = proven(image, arch)?;
        if let Some((image, manifest)) = kept_for(arch, dir, &file) {
            return Ok(Self::assembled(dir, manifest, image, file));
        }
        let _lock = FileLock::acquire(&lock_of(dir), || ()).await?;
        // The process that held the lock has read them out, perhaps of the image that is there now.
        let file = proven(image, arch)?;
        if let Some((image, manifest)) = kept_for(arch, dir, &file) {
            return Ok(Self::assembled(dir, manifest, image, file));
        }
        Self::read_out(file, None, arch, dir, img).await
    }

    /// Reads the boot files of a new image, whose SHA-256 is known, out into `dir`, which no one else uses.
    ///
    /// # Errors
    /// As [`BootFiles::of`].
    pub async fn of_new(
        image: &Path,
        sha256: Sha256,
        dir: &Path,
        arch: Arch,
        img: &QemuImg,
    ) -> Result<Self, BootFilesError> {
        Self::read_out(proven(image, arch)?, Some(sha256), arch, dir, img).await
    }

    /// Which image `dir` belongs to, when that is the one at `image`, and its manifest.
    pub fn known(image: &Path, dir: &Path) -> Option<(ImageRecord, Manifest)> {
        kept(dir, &Stamp::of(image).ok()?)
    }

    /// How the image is booted.
    pub fn direct_boot(&self) -> DirectBoot {
        DirectBoot {
            kernel: self.kernel.clone(),
            initrd: self.initrd.clone(),
            cmdline: self.manifest.boot.cmdline.clone(),
        }
    }

    /// What lies in `dir`, of the image in `file`.
    fn assembled(dir: &Path, manifest: Manifest, image: ImageRecord, file: ProvenImage) -> Self {
        Self { manifest, kernel: dir.join(KERNEL), initrd: dir.join(INITRD), image, file }
    }

    async fn read_out(
        file: ProvenImage,
        sha256: Option<Sha256>,
        arch: Arch,
        dir: &Path,
        img: &QemuImg,
    ) -> Result<Self, BootFilesError> {
        let image = file.path();
        img.check(image).await?;
        let parent = dir.parent().unwrap_or(dir);
        let work = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .tempdir_in(parent)
            .map_err(FileError::of("create a directory in", parent))?;
        let esp = work.path().join("esp");
        // Both read the whole image or much of it, so the second has it in memory.
        let hashed = tokio::task::spawn_blocking({
            let image = image.to_owned();
            move || sha256.map_or_else(|| digest::of_file(&image), Ok)
        });
        let (offset, length) = find_esp(&file, work.path(), img).await?;
        img.extract(&file.disk(), offset, length, &esp).await?;
        let manifest = unpack(image, arch, &esp, work.path())?;
        fs::remove_file(&esp).map_err(FileError::of("remove", &esp))?;

        let sha256 = hashed.await.map_err(std::io::Error::other).flatten();
        let sha256 = sha256.map_err(FileError::of("read", image))?;
        let image = ImageRecord { sha256, stamp: file.stamp().clone() };
        write_json(&work.path().join(RECORD), &image, PUBLIC_FILE)?;
        replace_dir(&work.keep(), dir)?;
        Ok(Self::assembled(dir, manifest, image, file))
    }
}

fn proven(image: &Path, arch: Arch) -> Result<ProvenImage, BootFilesError> {
    ProvenImage::of(image).map_err(|error| {
        if error.is_absence() {
            BootFilesError::NoImage { arch, path: image.to_owned() }
        } else {
            error.into()
        }
    })
}

/// What `dir` holds, when it is whole and belongs to the image with `stamp`.
fn kept(dir: &Path, stamp: &Stamp) -> Option<(ImageRecord, Manifest)> {
    let image: ImageRecord = serde_json::from_slice(&read_document(&dir.join(RECORD)).ok()?).ok()?;
    if image.stamp != *stamp {
        return None;
    }
    let manifest = Manifest::parse(&read_document(&dir.join(MANIFEST)).ok()?).ok()?;
    let whole = [KERNEL, INITRD].iter().all(|name| dir.join(name).is_file());
    whole.then_some((image, manifest))
}

fn kept_for(arch: Arch, dir: &Path, file: &ProvenImage) -> Option<(ImageRecord, Manifest)> {
    kept(dir, file.stamp()).filter(|(_, manifest)| manifest.arch == arch)
}

/// Returns the path of the lock of the process that fills `dir`, next to it.
fn lock_of(dir: &Path) -> PathBuf {
    let name = dir.file_name().unwrap_or_default().to_string_lossy();
    dir.with_file_name(format!(".{name}.lock"))
}

/// Where the EFI system partition lies in the disk: offset and length in bytes.
async fn find_esp(file: &ProvenImage, work: &Path, img: &QemuImg) -> Result<(u64, u64), BootFilesError> {
    let image = file.path();
    let head = work.join("table");
    img.extract(&file.disk(), 0, TABLE_BYTES, &head).await?;
    let table = |source| BootFilesError::Table { path: image.to_owned(), source };
    // The backup header is at the disk's end, which is not in this copy.
    let disk = gpt::GptConfig::new().only_valid_headers(false).open(&head).map_err(table)?;
    let sector = *disk.logical_block_size();
    let esp = disk.partitions().values().find(|part| part.part_type_guid == gpt::partition_types::EFI);
    let esp = esp.ok_or_else(|| BootFilesError::NoEsp(image.to_owned()))?;
    let start = esp.bytes_start(sector).map_err(|error| table(error.into()))?;
    let length = esp.bytes_len(sector).map_err(|error| table(error.into()))?;
    fs::remove_file(&head).map_err(FileError::of("remove", &head))?;
    if length > ESP_LIMIT {
        return Err(BootFilesError::LargeEsp { path: image.to_owned(), bytes: length });
    }
    Ok((start, length))
}

/// Copies manifest, kernel and initrd from the partition `esp` to the directory `to`.
fn unpack(image: &Path, arch: Arch, esp: &Path, to: &Path) -> Result<Manifest, BootFilesError> {
    let volume = Reader::whole(esp)?;
    let bytes = volume.read(PATH_IN_ESP, manifest::SIZE_LIMIT)?;
    let manifest = Manifest::parse(&bytes)
        .map_err(|source| BootFilesError::Manifest { path: image.to_owned(), source })?;
    if manifest.arch != arch {
        return Err(BootFilesError::WrongArch { path: image.to_owned(), found: manifest.arch });
    }
    write_atomic(&to.join(MANIFEST), &bytes, PUBLIC_FILE)?;
    write_atomic(&to.join(KERNEL), &volume.read(&manifest.boot.kernel, BOOT_FILE_LIMIT)?, PUBLIC_FILE)?;
    write_atomic(&to.join(INITRD), &volume.read(&manifest.boot.initrd, BOOT_FILE_LIMIT)?, PUBLIC_FILE)?;
    Ok(manifest)
}

/// Puts the finished directory `new` in the place of `dir`.
///
/// # Errors
/// When the old one cannot be removed or the new one moved.
pub fn replace_dir(new: &Path, dir: &Path) -> Result<(), FileError> {
    remove_dir_if_there(dir)?;
    move_dir(new, dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn img() -> QemuImg {
        QemuImg::new(fake_image::QEMU_IMG)
    }

    fn home() -> (tempfile::TempDir, Home) {
        let root = tempfile::tempdir().unwrap();
        let home = Home::new(root.path());
        fs::create_dir(home.images()).unwrap();
        (root, home)
    }

    #[tokio::test]
    async fn what_the_image_carries_is_read_out_once() {
        let (_root, home) = home();
        let manifest = fake_image::manifest(Arch::Amd64);
        fake_image::write(&home.image(Arch::Amd64), &manifest.to_json(), "kernel");
        let first = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap();
        assert_eq!(first.manifest, manifest);
        assert_eq!(fs::read(&first.kernel).unwrap(), b"kernel");
        assert_eq!(fs::read(&first.initrd).unwrap(), b"initrd");
        assert_eq!(first.direct_boot().cmdline, "quiet");
        assert_eq!(first.image.sha256, digest::of_file(&home.image(Arch::Amd64)).unwrap());

        // A program that cannot run shows that nothing is read out again.
        let second = BootFiles::of(&home, Arch::Amd64, &QemuImg::new("/no/qemu-img")).await.unwrap();
        assert_eq!(second, first);
        let names: Vec<_> =
            fs::read_dir(home.images()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names.len(), 3, "image, boot files and the lock: {names:?}");
    }

    #[tokio::test]
    async fn another_image_in_its_place_is_read_out_again() {
        let (_root, home) = home();
        let image = home.image(Arch::Amd64);
        let text = fake_image::manifest(Arch::Amd64).to_json();
        fake_image::write(&image, &text, "old");
        BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap();
        let new = home.images().join("new");
        fake_image::write(&new, &text, "new");
        fs::rename(&new, &image).unwrap();
        let files = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap();
        assert_eq!(fs::read(&files.kernel).unwrap(), b"new");
    }

    #[tokio::test]
    async fn two_at_once_agree() {
        let (_root, home) = home();
        fake_image::write(&home.image(Arch::Amd64), &fake_image::manifest(Arch::Amd64).to_json(), "kernel");
        let img = img();
        let (one, two) =
            tokio::join!(BootFiles::of(&home, Arch::Amd64, &img), BootFiles::of(&home, Arch::Amd64, &img));
        assert_eq!(one.unwrap(), two.unwrap());
    }

    #[tokio::test]
    async fn an_image_is_proved_each_time_also_when_its_boot_files_are_kept() {
        let (_root, home) = home();
        let image = home.image(Arch::Amd64);
        fake_image::write(&image, &fake_image::manifest(Arch::Amd64).to_json(), "kernel");
        let modified = fs::metadata(&image).unwrap().modified().unwrap();
        BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap();
        let mut bytes = fs::read(&image).unwrap();
        fake_image::lead_to(&mut bytes, "/etc/shadow");
        fs::write(&image, bytes).unwrap();
        fs::File::open(&image).unwrap().set_modified(modified).unwrap();
        assert!(BootFiles::known(&image, &home.boot_files(Arch::Amd64)).is_some(), "it looks the same");
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::Image(ImageError::Partial { .. })), "{error}");
    }

    #[tokio::test]
    async fn a_damaged_image_is_refused_before_it_is_looked_into() {
        let (_root, home) = home();
        let image = home.image(Arch::Amd64);
        fake_image::write(&image, &fake_image::manifest(Arch::Amd64).to_json(), "kernel");
        fs::write(image.with_extension("qcow2.answer"), r#"{"corruptions": 1}"#).unwrap();
        fs::write(image.with_extension("qcow2.status"), "2").unwrap();
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::Disk(DiskError::Damaged { .. })), "{error}");
    }

    #[tokio::test]
    async fn a_missing_image_is_named_with_its_architecture() {
        let (_root, home) = home();
        let error = BootFiles::of(&home, Arch::Arm64, &img()).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no image for arm64: `/"), "{error}");
    }

    #[tokio::test]
    async fn what_is_no_image_of_ours_is_refused_and_leaves_nothing() {
        let (_root, home) = home();
        let image = home.image(Arch::Amd64);
        fs::write(&image, vec![0; 1 << 20]).unwrap();
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::Image(_)), "{error}");
        assert_eq!(error.class(), Class::VerificationFailed);

        fake_image::write_empty(&image);
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::Table { .. }), "{error}");
        assert_eq!(error.class(), Class::VerificationFailed);

        fake_image::write(&image, &fake_image::manifest(Arch::Arm64).to_json(), "kernel");
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::WrongArch { found: Arch::Arm64, .. }), "{error}");

        fake_image::write(&image, r#"{"formatVersion": 99}"#, "kernel");
        let error = BootFiles::of(&home, Arch::Amd64, &img()).await.unwrap_err();
        assert!(matches!(error, BootFilesError::Manifest { .. }), "{error}");
        assert!(!home.boot_files(Arch::Amd64).exists());
    }
}
