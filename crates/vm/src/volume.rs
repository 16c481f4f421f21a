//! FAT volumes: small read-only disks that carry files into a guest, and the image's EFI system partition.
//!
//! The same files give the same bytes: timestamps and the volume's serial number are fixed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

use base::files::PRIVATE_FILE;

use crate::error::{Class, Explain};

mod clock;
mod dots;
mod window;

pub use window::Window;

/// Space for the file system's own structures, in addition to the files of a volume that is sized by its content.
const OVERHEAD: u64 = 256 << 10;

/// Sizes of volumes are multiples of this.
const GRANULE: u64 = 64 << 10;

/// Size of a cluster: what a file takes on the volume is a multiple of it.
const CLUSTER: u32 = 4096;

/// Size of the smallest cluster.
const SMALLEST_CLUSTER: u32 = 512;

/// Fewest clusters that make a file system FAT32 (Microsoft's FAT specification, "FAT type determination").
const FAT32_CLUSTERS: u64 = 65_525;

/// Smallest EFI system partition that is FAT32.
pub const ESP_MINIMUM: u64 = fat32_size(SMALLEST_CLUSTER).next_multiple_of(1 << 20);

/// Bytes that a FAT32 of the fewest clusters takes: each costs its own size and an entry in both allocation tables.
const fn fat32_size(cluster: u32) -> u64 {
    FAT32_CLUSTERS * (cluster as u64 + TABLE_ENTRIES)
}

/// Size of a cluster of an EFI system partition of `length` bytes: as large as FAT32 allows, up to a page.
fn esp_cluster(length: u64) -> u32 {
    let fits = |cluster: &u32| length >= fat32_size(*cluster).next_multiple_of(1 << 20);
    [CLUSTER, 2048, 1024].into_iter().find(fits).unwrap_or(SMALLEST_CLUSTER)
}

/// Bytes that a cluster takes in both allocation tables, at most.
const TABLE_ENTRIES: u64 = 2 * 4;

/// Longest file in bytes: its length has 32 bits.
const FILE_LIMIT: u64 = u32::MAX as u64;

/// Longest volume label in bytes.
const LABEL_LENGTH: usize = 11;

/// Why a volume cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// A label has other characters or more of them than FAT keeps.
    #[error("invalid volume label `{0}`: use 1 to {LABEL_LENGTH} upper-case letters, digits, `-` or `_`")]
    BadLabel(String),
    /// The window is too small for an EFI system partition.
    #[error("an EFI system partition needs at least {ESP_MINIMUM} bytes, not {0}")]
    SmallEsp(u64),
    /// The volume cannot be written.
    #[error("cannot write `{inner}` to the volume in `{}`", path.display())]
    Write {
        /// The image file.
        path: PathBuf,
        /// The file on the volume, or `/`.
        inner: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
    /// A file of the host that is to be on the volume cannot be read.
    #[error("cannot read `{}`", path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A file is longer than a file of FAT can be.
    #[error("`{}` has {length} bytes, and a file of a volume at most {FILE_LIMIT}", path.display())]
    TooLong {
        /// The file of the host.
        path: PathBuf,
        /// Its length.
        length: u64,
    },
    /// The volume cannot be read, or the file is not on it.
    #[error("cannot read `{inner}` from the volume in `{}`", path.display())]
    Read {
        /// The image file.
        path: PathBuf,
        /// The file on the volume, or `/`.
        inner: String,
        /// What the file system said.
        #[source]
        source: io::Error,
    },
}

impl Explain for VolumeError {
    fn class(&self) -> Class {
        match self {
            Self::Read { .. } => Class::VerificationFailed,
            _ => Class::Failed,
        }
    }
}

/// The content of a volume that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    label: String,
    files: Vec<(String, Content)>,
}

/// What is in a file of a volume.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Bytes(Vec<u8>),
    /// What is in a file of the host, and how many bytes that are.
    Host(PathBuf, u64),
}

impl Content {
    fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Host(_, length) => *length,
        }
    }

    fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self {
            Self::Bytes(bytes) => to.write_all(bytes),
            Self::Host(path, _) => io::copy(&mut File::open(path)?, to).map(drop),
        }
    }
}

impl Volume {
    /// An empty volume called `label`.
    ///
    /// # Errors
    /// When FAT cannot keep the label.
    pub fn new(label: &str) -> Result<Self, VolumeError> {
        let allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
        if label.is_empty() || label.len() > LABEL_LENGTH || !label.bytes().all(allowed) {
            return Err(VolumeError::BadLabel(label.to_owned()));
        }
        Ok(Self { label: label.to_owned(), files: Vec::new() })
    }

    /// Adds the file `path`, whose directories are separated by `/` and made as needed.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.files.push((path.to_owned(), Content::Bytes(content.into())));
        self
    }

    /// Adds the file `path` with the content of the file `from` of the host, which is read when the volume is written.
    ///
    /// # Errors
    /// When `from` cannot be read, or is longer than a file of FAT can be.
    pub fn file_of(mut self, path: &str, from: &Path) -> Result<Self, VolumeError> {
        let error = |source| VolumeError::Content { path: from.to_owned(), source };
        let length = std::fs::metadata(from).map_err(error)?.len();
        if length > FILE_LIMIT {
            return Err(VolumeError::TooLong { path: from.to_owned(), length });
        }
        self.files.push((path.to_owned(), Content::Host(from.to_owned(), length)));
        Ok(self)
    }

    /// Writes a volume that is just large enough to the new image file at `path`, which only its owner may read.
    ///
    /// # Errors
    /// When the file exists or cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), VolumeError> {
        let error = |source| VolumeError::Write { path: path.to_owned(), inner: "/".to_owned(), source };
        let clusters: u64 = self.files.iter().map(|(_, content)| clusters(content.length()) + 1).sum();
        let size = (clusters * (u64::from(CLUSTER) + TABLE_ENTRIES) + OVERHEAD).next_multiple_of(GRANULE);
        let mut options = File::options();
        options.read(true).write(true).create_new(true).mode(PRIVATE_FILE);
        let file = options.open(path).map_err(error)?;
        file.set_len(size).map_err(error)?;
        self.write_window(path, Window::new(file, 0, size), size, None)
    }

    /// Writes an EFI system partition (FAT32) to `length` bytes from `offset` of the existing file at `path`, which read
    /// as zeroes so far.
    ///
    /// # Errors
    /// When the window is too small for FAT32 or for the files, or cannot be written.
    pub fn write_esp(&self, path: &Path, offset: u64, length: u64) -> Result<(), VolumeError> {
        if length < ESP_MINIMUM {
            return Err(VolumeError::SmallEsp(length));
        }
        let error = |source| VolumeError::Write { path: path.to_owned(), inner: "/".to_owned(), source };
        let file = File::options().read(true).write(true).open(path).map_err(error)?;
        self.write_window(path, Window::new(file, offset, length), length, Some(FatType::Fat32))
    }

    fn write_window(
        &self,
        path: &Path,
        mut window: Window,
        length: u64,
        fat: Option<FatType>,
    ) -> Result<(), VolumeError> {
        let failed = |inner: &str| {
            let inner = inner.to_owned();
            move |source| VolumeError::Write { path: path.to_owned(), inner, source }
        };
        let mut label = [b' '; LABEL_LENGTH];
        label[..self.label.len()].copy_from_slice(self.label.as_bytes());
        let sectors = u32::try_from(length / 512).map_err(|error| failed("/")(io::Error::other(error)))?;
        let mut options =
            FormatVolumeOptions::new().volume_label(label).volume_id(clock::VOLUME_ID).total_sectors(sectors);
        options = match fat {
            Some(fat) => options.fat_type(fat).bytes_per_cluster(esp_cluster(length)),
            None => options.bytes_per_cluster(CLUSTER),
        };
        fatfs::format_volume(&mut window, options).map_err(failed("/"))?;
        let volume = FileSystem::new(&mut window, FsOptions::new().time_provider(&clock::FIXED))
            .map_err(failed("/"))?;
        let mut made = BTreeSet::new();
        for (inner, content) in &self.files {
            let root = volume.root_dir();
            for (end, _) in inner.match_indices('/') {
                if made.insert(&inner[..end]) {
                    root.create_dir(&inner[..end]).map_err(failed(inner))?;
                }
            }
            let mut file = root.create_file(inner).map_err(failed(inner))?;
            content.write(&mut file).and_then(|()| file.flush()).map_err(failed(inner))?;
        }
        // Counted, so that the free space is on record.
        volume.stats().map_err(failed("/"))?;
        volume.unmount().map_err(failed("/"))?;
        dots::repair(&mut window, made.into_iter()).map_err(failed("/"))?;
        window.flush().map_err(failed("/"))
    }
}

fn clusters(bytes: u64) -> u64 {
    bytes.div_ceil(u64::from(CLUSTER))
}

/// A volume that is read.
pub struct Reader {
    path: PathBuf,
    volume: FileSystem<Window>,
}

impl Reader {
    /// Opens the volume in `length` bytes from `offset` of the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be read or holds no FAT file system there.
    pub fn open(path: &Path, offset: u64, length: u64) -> Result<Self, VolumeError> {
        let error = |source| VolumeError::Read { path: path.to_owned(), inner: "/".to_owned(), source };
        let file = File::open(path).map_err(error)?;
        let options = FsOptions::new().time_provider(&clock::FIXED).update_accessed_date(false);
        let volume = FileSystem::new(Window::new(file, offset, length), options).map_err(error)?;
        Ok(Self { path: path.to_owned(), volume })
    }

    /// Opens the volume that fills the file at `path`.
    ///
    /// # Errors
    /// As [`Reader::open`].
    pub fn whole(path: &Path) -> Result<Self, VolumeError> {
        let error = |source| VolumeError::Read { path: path.to_owned(), inner: "/".to_owned(), source };
        let length = std::fs::metadata(path).map_err(error)?.len();
        Self::open(path, 0, length)
    }

    /// The volume's label.
    pub fn label(&self) -> String {
        self.volume.volume_label()
    }

    /// The content of the file `inner`, whose directories are separated by `/` and which has at most `limit` bytes.
    ///
    /// # Errors
    /// When it is not there, cannot be read or is longer.
    pub fn read(&self, inner: &str, limit: u64) -> Result<Vec<u8>, VolumeError> {
        let error = |source| VolumeError::Read { path: self.path.clone(), inner: inner.to_owned(), source };
        let file = self.volume.root_dir().open_file(inner).map_err(error)?;
        let mut content = Vec::new();
        file.take(limit + 1).read_to_end(&mut content).map_err(error)?;
        if content.len() as u64 > limit {
            return Err(error(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has more than {limit} bytes"),
            )));
        }
        Ok(content)
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;
    use proptest::prelude::*;

    use super::*;

    fn config() -> Volume {
        Volume::new("STACKCFG")
            .unwrap()
            .file("runtime.env", "STACK_INSTANCE=default\n")
            .file("base.env", "STACK_BACKEND_PORT=8102\n")
    }

    /// Runs one of the tools that this project's development set-up has: mtools and dosfstools.
    async fn tool(program: &str, args: &[&str], image: &Path) -> String {
        Cmd::new(program).args(args).arg(image).text().await.unwrap()
    }

    #[test]
    fn the_same_files_give_the_same_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let (one, two) = (dir.path().join("one"), dir.path().join("two"));
        config().write(&one).unwrap();
        config().write(&two).unwrap();
        assert!(std::fs::read(one).unwrap() == std::fs::read(two).unwrap());
    }

    #[tokio::test]
    async fn other_programs_read_a_volume_and_find_it_clean() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("config");
        let volume = config().file("emulator/deep/er/a-long-lower-case.name", vec![7; 100_000]);
        volume.write(&image).unwrap();
        let listing = tool("mdir", &["-/", "-b", "-i"], &image).await;
        let mut names: Vec<_> = listing.lines().collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "::/base.env",
                "::/emulator/",
                "::/emulator/deep/",
                "::/emulator/deep/er/",
                "::/emulator/deep/er/a-long-lower-case.name",
                "::/runtime.env"
            ]
        );
        assert!(tool("mlabel", &["-s", "-i"], &image).await.contains("STACKCFG"));
        tool("fsck.fat", &["-n"], &image).await;
        let content = Cmd::new("mtype").arg("-i").arg(&image).arg("::runtime.env").text().await.unwrap();
        assert_eq!(content, "STACK_INSTANCE=default");
    }

    #[tokio::test]
    async fn an_efi_system_partition_is_a_clean_fat32_in_its_window() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        let offset = 1 << 20;
        File::create(&disk).unwrap().set_len(offset + ESP_MINIMUM + 4096).unwrap();
        let kernel = vec![1; 3_000_001];
        let esp = Volume::new("ESP").unwrap().file("EFI/BOOT/BOOTX64.EFI", kernel.clone());
        esp.write_esp(&disk, offset, ESP_MINIMUM).unwrap();

        let reader = Reader::open(&disk, offset, ESP_MINIMUM).unwrap();
        assert_eq!(reader.label(), "ESP");
        assert!(reader.read("EFI/BOOT/BOOTX64.EFI", 3_000_001).unwrap() == kernel);
        let error = reader.read("EFI/BOOT/BOOTX64.EFI", 3_000_000).unwrap_err();
        assert!(matches!(error, VolumeError::Read { .. }), "{error}");
        let alone = dir.path().join("alone");
        let bytes = std::fs::read(&disk).unwrap();
        let end = usize::try_from(offset + ESP_MINIMUM).unwrap();
        std::fs::write(&alone, &bytes[1 << 20..end]).unwrap();
        let report = tool("fsck.fat", &["-n", "-v"], &alone).await;
        assert!(report.contains("32 bits/entry") || report.contains("32 bit"), "{report}");
        assert!(bytes[end..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn every_size_of_an_efi_system_partition_is_fat32() {
        let dir = tempfile::tempdir().unwrap();
        for mib in [33, 66, 67, 128, 129, 130, 256, 257, 258] {
            let disk = dir.path().join(format!("{mib}"));
            let length = mib << 20;
            File::create(&disk).unwrap().set_len(length).unwrap();
            Volume::new("ESP").unwrap().write_esp(&disk, 0, length).unwrap();
            let reader = Reader::whole(&disk).unwrap();
            assert_eq!(reader.volume.fat_type(), FatType::Fat32, "{mib} MiB");
        }
    }

    #[test]
    fn an_efi_system_partition_too_small_for_fat32_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("disk");
        File::create(&disk).unwrap();
        let error = Volume::new("ESP").unwrap().write_esp(&disk, 0, 1 << 20).unwrap_err();
        assert!(matches!(error, VolumeError::SmallEsp(_)), "{error}");
    }

    #[test]
    fn labels_that_fat_cannot_keep_are_refused() {
        for label in ["", "lower", "TWELVE-BYTES", "A B"] {
            assert!(matches!(Volume::new(label), Err(VolumeError::BadLabel(_))), "{label}");
        }
    }

    #[test]
    fn a_missing_file_is_named_with_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("config");
        config().write(&image).unwrap();
        let reader = Reader::whole(&image).unwrap();
        let error = reader.read("no.env", 1 << 20).unwrap_err();
        assert!(error.to_string().starts_with("cannot read `no.env` from the volume in `/"), "{error}");
    }

    #[test]
    fn what_is_no_file_system_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("garbage");
        std::fs::write(&image, vec![0x5a; 1 << 16]).unwrap();
        assert!(matches!(Reader::whole(&image), Err(VolumeError::Read { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]
        #[test]
        fn every_file_reads_back_as_written(
            files in prop::collection::btree_map("[a-z][a-z0-9-]{0,20}(\\.[a-z]{1,4})?", prop::collection::vec(any::<u8>(), 0..20_000), 0..20),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let image = dir.path().join("volume");
            let volume = files.iter().fold(Volume::new("V").unwrap(), |volume, (name, content)| {
                volume.file(name, content.clone())
            });
            volume.write(&image).unwrap();
            let reader = Reader::whole(&image).unwrap();
            for (name, content) in &files {
                prop_assert_eq!(&reader.read(name, 1 << 20).unwrap(), content);
            }
        }
    }
}
