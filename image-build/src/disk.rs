//! The image's disk before it is compressed: a sparse raw file with a GUID partition table.
//!
//! Partition 1 is the EFI system partition, partition 2 the root file system. Both have names by which the guest finds
//! them, and the types that systemd's Discoverable Partitions Specification gives them.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use gpt::disk::LogicalBlockSize;
use gpt::mbr::ProtectiveMBR;
use gpt::partition_types::{self, Type};
use gpt::{GptConfig, GptDisk, GptError};
use image::arch::Arch;

use crate::ext4::ROOT_LABEL;
use base::sparse::{self, Range};

/// Name of the EFI system partition, and label of its file system in capitals.
pub const ESP_NAME: &str = "esp";

/// Bytes of a logical block, the unit of the partition table.
const BLOCK: u64 = 512;

/// Start of the first partition, and space kept free at the end for the second copy of the table: 1 MiB, the alignment
/// that every partitioning tool uses.
const MARGIN: u64 = 1 << 20;

/// Size of the EFI system partition. It holds the kernel and two initial RAM file systems; the free rest costs nothing in the
/// compressed image.
const ESP_SIZE: u64 = 256 << 20;

/// Bytes at the start of a disk that hold the partition table: protective MBR, header and 128 entries in blocks of 512 bytes, rounded
/// up (UEFI specification, 5.3).
pub const TABLE_BYTES: u64 = 64 << 10;

/// Where things are on the disk, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Size of the disk.
    pub size: u64,
    /// The EFI system partition.
    pub esp: Range,
    /// The root partition.
    pub root: Range,
}

/// A disk that cannot be created or read.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// A file cannot be created, read or written.
    #[error("cannot {action} `{}`", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The partition table cannot be written or read.
    #[error("cannot {action} the partition table of `{}`", path.display())]
    Table {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: GptError,
    },
    /// No partition looks like the root of a Linux system.
    #[error("`{}` has no root partition", path.display())]
    NoRoot {
        /// The file.
        path: PathBuf,
    },
}

impl Layout {
    /// The layout of a disk of `gib` GiB.
    pub fn of_size(gib: u64) -> Self {
        let size = gib << 30;
        let esp = Range { start: MARGIN, len: ESP_SIZE };
        let start = esp.start + esp.len;
        Self { size, esp, root: Range { start, len: size - start - MARGIN } }
    }
}

/// The type of a root partition for `arch`.
fn root_type(arch: Arch) -> Type {
    match arch {
        Arch::Amd64 => partition_types::LINUX_ROOT_X64,
        Arch::Arm64 => partition_types::LINUX_ROOT_ARM_64,
    }
}

/// Creates the disk at `path`: partition table and root file system, the latter copied from the file `root`, which must
/// be as large as the partition. The EFI system partition stays empty. Blocks the thread.
///
/// # Errors
/// When a file cannot be read or written.
pub fn create(path: &Path, layout: Layout, arch: Arch, root: &Path) -> Result<(), DiskError> {
    let fail = |action, path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::File { action, path, source }
    };
    let mut options = File::options();
    let disk = options.read(true).write(true).create_new(true).open(path).map_err(fail("create", path))?;
    disk.set_len(layout.size).map_err(fail("extend", path))?;
    let root_file = File::open(root).map_err(fail("open", root))?;
    let length = root_file.metadata().map_err(fail("read", root))?.len();
    if length != layout.root.len {
        let text = format!("it has {length} bytes and the partition {}", layout.root.len);
        return Err(fail("use", root)(io::Error::other(text)));
    }
    let whole = Range { start: 0, len: length };
    sparse::copy(&root_file, whole, &disk, layout.root.start)
        .map_err(fail("copy the root file system to", path))?;
    write_table(disk, layout, arch).map_err(|source| DiskError::Table {
        action: "write",
        path: path.to_owned(),
        source,
    })
}

fn write_table(mut disk: File, layout: Layout, arch: Arch) -> Result<(), GptError> {
    let blocks = u32::try_from(layout.size / BLOCK - 1).unwrap_or(u32::MAX);
    ProtectiveMBR::with_lb_size(blocks).overwrite_lba0(&mut disk).map_err(io::Error::other)?;
    let config = GptConfig::new().writable(true).logical_block_size(LogicalBlockSize::Lb512);
    let mut table: GptDisk<File> = config.create_from_device(disk, None)?;
    let partitions =
        [(ESP_NAME, layout.esp, partition_types::EFI), (ROOT_LABEL, layout.root, root_type(arch))];
    for ((name, range, kind), number) in partitions.into_iter().zip(1..) {
        table.add_partition_at(name, number, range.start / BLOCK, range.len / BLOCK, kind, 0)?;
    }
    table.write()?.sync_all()?;
    Ok(())
}

/// Copies the root partition of the disk at `path` over the file `root`. Blocks the thread.
///
/// # Errors
/// When a file cannot be read or written.
pub fn take_root(path: &Path, layout: Layout, root: &Path) -> Result<(), DiskError> {
    let copy = || -> io::Result<()> {
        let to = File::create(root)?;
        to.set_len(layout.root.len)?;
        sparse::copy(&File::open(path)?, layout.root, &to, 0).map(drop)
    };
    copy().map_err(|source| DiskError::File {
        action: "copy the root file system of",
        path: path.to_owned(),
        source,
    })
}

/// Finds the root partition of another distribution's disk: the one of a root type, else the only one of the general Linux
/// type. The file may hold no more than the first [`TABLE_BYTES`] of the disk.
///
/// # Errors
/// When the disk has no partition table, or no such partition.
pub fn find_root(path: &Path, arch: Arch) -> Result<Range, DiskError> {
    let fail = |source| DiskError::Table { action: "read", path: path.to_owned(), source };
    // The backup header is at the disk's end.
    let table = GptConfig::new().writable(false).only_valid_headers(false).open(path).map_err(fail)?;
    let of_type = |kind: Type| {
        let mut found = table.partitions().values().filter(move |part| part.part_type_guid == kind);
        found.next().filter(|_| found.next().is_none())
    };
    let root = of_type(root_type(arch)).or_else(|| of_type(partition_types::LINUX_FS));
    let root = root.ok_or_else(|| DiskError::NoRoot { path: path.to_owned() })?;
    let length = root.bytes_len(LogicalBlockSize::Lb512).map_err(|error| fail(error.into()))?;
    Ok(Range { start: root.first_lba * BLOCK, len: length })
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::*;

    async fn disk(dir: &Path) -> (PathBuf, Layout) {
        let layout = Layout::of_size(1);
        let root = dir.join("root");
        let size = format!("{}K", layout.root.len >> 10);
        let mke2fs = Cmd::new("mke2fs").args(["-q", "-t", "ext4"]).arg(&root).arg(size);
        mke2fs.output().await.unwrap();
        let path = dir.join("disk");
        create(&path, layout, Arch::Amd64, &root).unwrap();
        (path, layout)
    }

    #[tokio::test]
    async fn the_table_is_clean_and_reads_back_as_laid_out() {
        let dir = tempfile::tempdir().unwrap();
        let (path, layout) = disk(dir.path()).await;
        let verdict = Cmd::new("sgdisk").arg("-v").arg(&path).text().await.unwrap();
        assert!(verdict.contains("No problems found"), "{verdict}");
        let printed = Cmd::new("sgdisk").arg("-p").arg(&path).text().await.unwrap();
        let rows: Vec<_> =
            printed.lines().skip_while(|line| !line.starts_with("Number")).skip(1).map(str::trim).collect();
        insta::assert_snapshot!(rows.join("\n"), @r"
        1            2048          526335   256.0 MiB   EF00  esp
        2          526336         2095103   766.0 MiB   8304  stack-root
        ");
        assert_eq!(find_root(&path, Arch::Amd64).unwrap(), layout.root);
        crate::ext4::check(&path, layout.root.start).await.unwrap();
    }

    #[tokio::test]
    async fn a_root_file_system_of_another_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        File::create(&root).unwrap().set_len(4096).unwrap();
        let error = create(&dir.path().join("disk"), Layout::of_size(1), Arch::Amd64, &root).unwrap_err();
        assert_eq!(error.to_string(), format!("cannot use `{}`", root.display()));
    }

    #[test]
    fn a_disk_without_a_table_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        let error = find_root(&path, Arch::Amd64).unwrap_err().to_string();
        assert_eq!(error, format!("cannot read the partition table of `{}`", path.display()));
    }
}
