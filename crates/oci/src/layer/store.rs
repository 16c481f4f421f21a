//! A directory of layers that are ready to be unpacked for overlayfs.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::digest::{self, Hasher, Sha256};
use base::files::{FileError, PUBLIC_FILE};

use super::changes::{Changed, Changes};
use super::tree::{Inode, Kind, Node, Nodes};
use super::unpack;
use crate::error::{Fault, OciError};
use crate::image::{Image, Layer};
use crate::tape::Meta;
use crate::tape::read::{Malformed, entries};
use crate::tape::write::{Tape, What};

/// Attribute of a directory that hides the one in lower layers (overlayfs documentation of Linux).
const OPAQUE: &[u8] = b"trusted.overlay.opaque";

/// Writes layers into a directory, each one once. While it exists, it keeps what it has unpacked in files without names there.
#[derive(Debug)]
pub struct LayerStore {
    dir: PathBuf,
    /// What has been written, by the digest of the chain of layers that ends with it.
    written: HashMap<Sha256, Arc<Written>>,
}

#[derive(Debug)]
struct Written {
    changed: Changed,
    normalised: Normalised,
}

/// A layer as an uncompressed tar archive.
///
/// `tar --extract --preserve-permissions --same-owner --numeric-owner --xattrs --xattrs-include='*'`, as root, unpacks it into an
/// empty directory, which is then a lower directory of overlayfs. It has an entry for that directory itself, `./`, as the image has
/// its root when this layer is the highest: the directory that is written to needs the same owner and mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Normalised {
    /// The file. Its name says what is in it: two images with equal layers have equal files.
    pub path: PathBuf,
    /// SHA-256 of the file.
    pub digest: Sha256,
    /// Bytes of the file.
    pub size: u64,
    /// Digest of the image's layer.
    pub diff_id: Sha256,
}

impl LayerStore {
    /// Uses the directory `dir`, which exists.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into(), written: HashMap::new() }
    }

    /// Verifies the layers of `image`, writes those that are not there yet, and returns them, the lowest first. A layer that a
    /// higher one hides completely is left out.
    ///
    /// # Errors
    /// [`OciError::Layer`] when a layer is damaged, or has something that is not allowed; [`OciError::File`] when the directory
    /// cannot be written. Files of earlier layers may be left in the directory; each of them is complete.
    pub fn add(&mut self, image: &Image) -> Result<Vec<Normalised>, OciError> {
        let mut tree = Nodes::new();
        let mut chain: Option<Sha256> = None;
        let mut layers: Vec<Normalised> = Vec::new();
        for (index, layer) in image.layers.iter().enumerate() {
            let id = chained(chain, layer.diff_id);
            chain = Some(id);
            let written = if let Some(written) = self.written.get(&id) {
                Arc::clone(written)
            } else {
                let written =
                    self.write(layer, id, &tree).map_err(|failed| failed.at(image, index, layer))?;
                self.written.insert(id, Arc::clone(&written));
                written
            };
            written.changed.apply(&mut tree);
            if written.changed.replaces_all() {
                layers.clear();
            }
            layers.push(written.normalised.clone());
        }
        Ok(layers)
    }

    fn write(&self, layer: &Layer, chain: Sha256, lower: &Nodes) -> Result<Arc<Written>, Failed> {
        let blob = unpack::verified(layer, &self.dir)?;
        let mut reading = Changes::new(lower);
        for entry in entries(&blob) {
            reading.add(entry.map_err(Fault::from)?)?;
        }
        let changed = reading.finish();
        let name = if changed.depends {
            format!("chain-{chain}.tar")
        } else {
            format!("layer-{}.tar", layer.diff_id)
        };
        let path = self.dir.join(name);
        let (digest, size) = write(&changed, &path).map_err(FileError::of("write", &path))?;
        let normalised = Normalised { path, digest, size, diff_id: layer.diff_id };
        Ok(Arc::new(Written { changed, normalised }))
    }
}

/// Names a chain of layers as the OCI image specification does ("Layer `ChainID`").
fn chained(below: Option<Sha256>, diff_id: Sha256) -> Sha256 {
    below.map_or(diff_id, |below| digest::of_bytes(format!("sha256:{below} sha256:{diff_id}").as_bytes()))
}

/// Why a layer was not written.
#[derive(Debug)]
enum Failed {
    Layer(Fault),
    File(FileError),
}

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self::Layer(fault)
    }
}

impl From<FileError> for Failed {
    fn from(error: FileError) -> Self {
        Self::File(error)
    }
}

impl From<Malformed> for Fault {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::Read(error) => Self::Read(error),
            Malformed::Archive { at, reason } => Self::Malformed { at, reason },
        }
    }
}

impl Failed {
    fn at(self, image: &Image, index: usize, layer: &Layer) -> OciError {
        match self {
            Self::File(error) => OciError::File(error),
            Self::Layer(fault) => OciError::Layer {
                archive: image.archive.clone(),
                number: index + 1,
                diff_id: layer.diff_id,
                fault: Box::new(fault),
            },
        }
    }
}

/// Hashes and counts what is written.
struct Measured<W> {
    inner: W,
    hasher: Hasher,
    size: u64,
}

impl<W: Write> Write for Measured<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Writes the archive of a layer under its name once it is complete, and returns its digest and its size.
fn write(changed: &Changed, path: &Path) -> io::Result<(Sha256, u64)> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut file =
        tempfile::Builder::new().permissions(fs::Permissions::from_mode(PUBLIC_FILE)).tempfile_in(dir)?;
    let measured = Measured { inner: file.as_file_mut(), hasher: Hasher::default(), size: 0 };
    let mut tape = Tape::new(BufWriter::with_capacity(1 << 18, measured));
    add_all(changed, &mut tape)?;
    let measured = tape.finish()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    let (digest, size) = (measured.hasher.finish(), measured.size);
    // Not synced: a file of an earlier run is never relied on, but written again.
    file.persist(path).map_err(|error| error.error)?;
    Ok((digest, size))
}

fn add_all<W: Write>(changed: &Changed, tape: &mut Tape<W>) -> io::Result<()> {
    let whiteout = Meta { mode: 0, uid: 0, gid: 0, mtime: "0".to_owned(), xattrs: BTreeMap::new() };
    let mut whiteouts = changed.whiteouts.iter().peekable();
    let mut names: HashMap<*const Inode, &Path> = HashMap::new();
    for (path, node) in &changed.upper {
        while let Some(hidden) = whiteouts.next_if(|hidden| *hidden < path) {
            tape.add(hidden, &whiteout, What::Whiteout)?;
        }
        match node {
            Node::Directory(meta) if changed.opaque.contains(path) => {
                let mut meta = Meta::clone(meta);
                meta.xattrs.insert(OPAQUE.to_vec(), b"y".to_vec());
                tape.add(path, &meta, What::Directory)?;
            }
            Node::Directory(meta) => tape.add(path, meta, What::Directory)?,
            Node::Leaf(inode) => {
                let what = match names.get(&Arc::as_ptr(inode)) {
                    Some(first) => What::HardLink(first),
                    None => match &inode.kind {
                        Kind::File(content) => What::File(content),
                        Kind::Symlink(target) => What::Symlink(target),
                        Kind::Fifo => What::Fifo,
                    },
                };
                tape.add(path, &inode.meta, what)?;
                names.entry(Arc::as_ptr(inode)).or_insert(path);
            }
        }
    }
    whiteouts.try_for_each(|hidden| tape.add(hidden, &whiteout, What::Whiteout))
}
