//! The base from the distribution's cloud image: its root file system is copied out and grown, and a virtual machine installs
//! the same packages as the bootstrap.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base::events::Phase;
use base::files::{FileError, FileLock};
use fetch::download::{self, Downloader, Pin, Remote};
use image::arch::Arch;
use serde::Deserialize;
use url::Url;
use vm::proven::ProvenImage;

use super::{BaseError, Maker, in_machine};
use crate::inputs::Key;
use crate::source::Source;
use crate::{disk, ext4};

/// The pinned images by architecture.
const PINS: &str = include_str!("../../cloud-images.toml");

/// A cloud image other than the pinned one, or the pinned one from another place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloudImage {
    /// Where it is.
    pub origin: Origin,
    /// Its SHA-512. `None` means the pinned digest for an address, and any content for a file.
    pub sha512: Option<String>,
}

/// The location of a cloud image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// On this machine.
    File(PathBuf),
    /// On a server.
    Url(Url),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pinned {
    url: Url,
    sha512: String,
}

fn pinned(arch: Arch) -> Result<Pinned, BaseError> {
    let mut pins: BTreeMap<Arch, Pinned> = toml::from_str(PINS).map_err(|_| BaseError::NotPinned(arch))?;
    pins.remove(&arch).ok_or(BaseError::NotPinned(arch))
}

/// Adds what of this module determines the result: the image and the steps. A file without a digest counts by its content.
pub(super) fn key(
    key: Key,
    arch: Arch,
    image: Option<&CloudImage>,
    source: &Source,
) -> Result<Key, BaseError> {
    let key = key.tree("cloud", &source.cloud())?.tree("machine", &source.machine())?;
    match image {
        Some(CloudImage { origin: Origin::File(path), sha512: None }) => Ok(key.tree("image", path)?),
        Some(CloudImage { sha512: Some(sha512), .. }) => Ok(key.value("sha512", sha512)),
        _ => Ok(key.value("sha512", pinned(arch)?.sha512)),
    }
}

/// Creates the root file system at `root`.
///
/// # Errors
/// When the image cannot be obtained or used, or the packages cannot be installed.
pub(super) async fn build(
    maker: &Maker<'_>,
    image: Option<&CloudImage>,
    root: &Path,
    phase: &Phase<'_>,
) -> Result<(), BaseError> {
    let qcow2 = obtain(maker, image).await?;
    let work = root.parent().unwrap_or(Path::new("."));
    phase.detail("copying the root file system out of the image");
    take_root(maker, &qcow2, work, root).await?;
    ext4::grow(root, maker.layout.root.len).await?;
    let steps = maker.source.cloud().join(in_machine::STEPS);
    in_machine::install(maker, work, root, &maker.source.cloud_seed()?, &steps, &maker.source.cmdline).await
}

/// The image as a file on this machine: the given one, or a verified download.
async fn obtain(maker: &Maker<'_>, image: Option<&CloudImage>) -> Result<PathBuf, BaseError> {
    let (url, sha512) = match image {
        Some(CloudImage { origin: Origin::File(path), sha512 }) => {
            if let Some(sha512) = sha512 {
                Pin::Sha512(sha512.clone()).check(path)?;
            }
            return Ok(path.clone());
        }
        Some(CloudImage { origin: Origin::Url(url), sha512: Some(sha512) }) => (url.clone(), sha512.clone()),
        Some(CloudImage { origin: Origin::Url(url), sha512: None }) => {
            (url.clone(), pinned(maker.arch)?.sha512)
        }
        None => {
            let Pinned { url, sha512 } = pinned(maker.arch)?;
            (url, sha512)
        }
    };
    let downloads = maker.cache.join("downloads");
    fs::create_dir_all(&downloads).map_err(FileError::of("create", &downloads))?;
    let target = downloads.join(format!("cloud-{}-{}.qcow2", maker.arch, &sha512[..sha512.len().min(16)]));
    let _lock = FileLock::acquire(&target.with_extension("lock"), || ()).await?;
    if !target.exists() {
        let phase = download::phase(maker.reporter, &target);
        let remote = Remote::pinned(url, Pin::Sha512(sha512));
        Downloader::new()?.fetch(&remote, &target, &phase).await?;
        phase.done();
    }
    Ok(target)
}

/// Copies the root partition out of the image.
async fn take_root(maker: &Maker<'_>, qcow2: &Path, work: &Path, root: &Path) -> Result<(), BaseError> {
    let img = maker.machine.qemu.img();
    let (disk, table) = (ProvenImage::of(qcow2)?.disk(), work.join("table"));
    img.extract(&disk, 0, disk::TABLE_BYTES, &table).await?;
    let range = disk::find_root(&table, maker.arch)?;
    fs::remove_file(&table).map_err(FileError::of("remove", &table))?;
    Ok(img.extract(&disk, range.start, range.len, root).await?)
}
