//! Layers of images in the form that the guest unpacks, kept in the cache by their content.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use base::blocking;
use base::digest::{self, Sha256};
use base::events::{Event, Reporter};
use base::files::{FileError, FileLock, PRIVATE_FILE, read_document, remove_dir_if_there, write_json};
use oci::{Image, LayerStore};
use serde::{Deserialize, Serialize};

use super::Composed;
use super::error::ContainersError;
use super::pointer::Pointer;
use crate::disk::Layout;
use crate::inputs::Key;
use crate::leftovers;

/// Directory of the cache.
const DIR: &str = "layers";

/// Least bytes that the system without containers has on the disk.
const SYSTEM: u64 = 512 << 20;

/// Images whose layers are kept.
const KEPT: usize = 16;

/// The file that is written when all layers of an image are there.
const INDEX: &str = "layers.json";

/// A layer of an image, as the file of the index has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Written {
    file: String,
    digest: Sha256,
    size: u64,
}

/// The layers of a stack's images, by the names of the containers. They stay in the cache while this exists.
#[derive(Debug, Default)]
pub(crate) struct Layers {
    /// The files of each container, the lowest layer first.
    pub(crate) files: BTreeMap<String, Vec<PathBuf>>,
    /// Bytes of all of them, each counted once.
    pub(crate) bytes: u64,
    /// Bytes of the largest one.
    largest: u64,
    locks: Vec<FileLock>,
}

/// Writes the layers of all images into the cache, unless they are there. `builder` is the key of what writes them.
///
/// # Errors
/// When a layer is damaged, or the cache cannot be written.
pub(crate) async fn prepare(
    images: &BTreeMap<String, Image>,
    cache: &Path,
    builder: &str,
    reporter: &dyn Reporter,
) -> Result<Layers, ContainersError> {
    let dir = cache.join(DIR);
    fs::create_dir_all(&dir).map_err(FileError::of("create", &dir))?;
    let mut layers = Layers::default();
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut known: BTreeMap<Sha256, Vec<Written>> = BTreeMap::new();
    let key = |image: &Image| {
        Key::default().value("image", image.id.to_string()).value("builder", builder).finish()
    };
    // In the same order in every task, so that no two of them wait for each other.
    for key in images.values().map(key).collect::<BTreeSet<_>>() {
        let waits =
            || reporter.report(&Event::Notice("waiting for another task that uses the same container image"));
        layers.locks.push(FileLock::acquire(&dir.join(format!("{key}.lock")), waits).await?);
    }
    for (container, image) in images {
        let own = dir.join(key(image));
        let written = if let Some(written) = known.get(&image.id) {
            written.clone()
        } else {
            let (work, at) = (image.clone(), own.clone());
            let written = blocking::run(move || ensured(&work, &at)).await?;
            known.insert(image.id, written.clone());
            written
        };
        sizes.extend(written.iter().map(|layer| (layer.file.clone(), layer.size)));
        let files = written.iter().map(|layer| own.join(&layer.file)).collect();
        layers.files.insert(container.clone(), files);
    }
    layers.bytes = sizes.values().sum();
    layers.largest = sizes.values().copied().max().unwrap_or_default();
    leftovers::keep_used(&dir, KEPT)?;
    Ok(layers)
}

impl Composed {
    /// Checks that the layers fit on the disk of a machine: all of them as archives, and one after the other unpacked. What is seen here
    /// is certain; the machine itself checks again, when it knows what else is on the disk.
    ///
    /// # Errors
    /// When the disk is too small.
    pub(crate) fn require_disk(&self, layers: &Layers, layout: Layout) -> Result<(), ContainersError> {
        let needed = layers.bytes + layers.largest + SYSTEM;
        if needed <= layout.root.len {
            return Ok(());
        }
        let gib = (needed + layout.size - layout.root.len).div_ceil(1 << 30);
        let reason = format!(
            "a disk of {} GiB is too small for the layers of the containers, which have {} MiB",
            layout.size >> 30,
            layers.bytes >> 20
        );
        let (pointer, instead) = (Pointer(&self.path), format!("write {gib} or more"));
        Err(match &self.disk_gib {
            Some(size) => pointer.value(size, reason, instead),
            None => pointer.file("x-emulator.machine.diskGib", reason, instead),
        }
        .into())
    }
}

/// The layers of an image in the directory `dir`. A file that is not what the index says is written again.
fn ensured(image: &Image, dir: &Path) -> Result<Vec<Written>, ContainersError> {
    let index = dir.join(INDEX);
    let read = read_document(&index).ok().and_then(|text| serde_json::from_slice::<Vec<Written>>(&text).ok());
    let is_whole = |layer: &Written| {
        let name = Path::new(&layer.file).file_name().is_some_and(|name| name == layer.file.as_str());
        name && digest::of_file(&dir.join(&layer.file)).is_ok_and(|digest| digest == layer.digest)
    };
    if let Some(written) = read.filter(|written| written.iter().all(is_whole)) {
        leftovers::touch(dir)?;
        return Ok(written);
    }
    remove_dir_if_there(dir)?;
    fs::create_dir_all(dir).map_err(FileError::of("create", dir))?;
    // Layers below one that is refused may be there already.
    let layers = LayerStore::new(dir).add(image).inspect_err(|_| drop(remove_dir_if_there(dir)))?;
    let written: Vec<_> = layers
        .into_iter()
        .map(|layer| Written {
            file: layer.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            digest: layer.digest,
            size: layer.size,
        })
        .collect();
    write_json(&index, &written, PRIVATE_FILE)?;
    Ok(written)
}
