//! An archive with images: which ones there are, and the one that is asked for.

mod docker;
mod layout;

use std::io;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use serde::de::DeserializeOwned;

use crate::blob::Blob;
use crate::config::ConfigFile;
use crate::documents::{Descriptor, LIMIT, Saved};
use crate::error::OciError;
use crate::image::{Image, Layer};
use crate::reference;
use crate::source::{Source, Unusable};

/// A file or directory with images: an archive of `docker save`, an OCI archive, or an OCI layout.
#[derive(Debug)]
pub struct Archive {
    path: PathBuf,
    source: Source,
    found: Vec<Found>,
}

/// An image, or one for several platforms.
#[derive(Debug)]
struct Found {
    names: Vec<String>,
    entry: Entry,
}

#[derive(Debug)]
enum Entry {
    Docker(Saved),
    Oci(Descriptor),
}

impl Archive {
    /// Opens the archive at `path`, which gzip or zstd may have compressed; it is then unpacked into a file without a name in the
    /// directory `scratch`.
    ///
    /// # Errors
    /// When it cannot be read, or is not an archive of images.
    pub fn open(path: &Path, scratch: &Path) -> Result<Self, OciError> {
        let source = Source::open(path, scratch).map_err(|unusable| match unusable {
            Unusable::Read(source) => OciError::Read { archive: path.to_owned(), source },
            Unusable::Other(reason) => OciError::NotImage { archive: path.to_owned(), reason },
        })?;
        let mut archive = Self { path: path.to_owned(), source, found: Vec::new() };
        // Newer archives of Docker are both. An index has the digest of everything, `manifest.json` only of some.
        archive.found = match layout::find(&archive)? {
            Some(found) => found,
            None => docker::find(&archive)?.ok_or_else(|| {
                let reason = "it has neither `index.json` nor `manifest.json`".to_owned();
                OciError::NotImage { archive: path.to_owned(), reason }
            })?,
        };
        Ok(archive)
    }

    /// Returns the names of the images, as the archive has them.
    pub fn names(&self) -> Vec<String> {
        self.found.iter().flat_map(|found| found.names.clone()).collect()
    }

    /// Reads and verifies the image `wanted`, or the only one, for Linux on `architecture` (in Go's words: `amd64`, `arm64`).
    ///
    /// # Errors
    /// When there is no such image, more than one, or none for that platform; and when one of its documents is missing, is invalid,
    /// or has another digest.
    pub fn image(&self, wanted: Option<&str>, architecture: &str) -> Result<Image, OciError> {
        let is_wanted = |found: &&Found| {
            wanted.is_none_or(|wanted| found.names.iter().any(|name| reference::matches(name, wanted)))
        };
        let found: Vec<&Found> = self.found.iter().filter(is_wanted).collect();
        let Some(first) = found.first() else {
            let (archive, found) = (self.path.clone(), self.names());
            return Err(match wanted {
                Some(wanted) => OciError::NoSuchImage { archive, wanted: wanted.to_owned(), found },
                None => OciError::NotImage { archive, reason: "it has no images".to_owned() },
            });
        };
        let reference = first.names.first().cloned();
        match &first.entry {
            Entry::Docker(saved) if found.len() == 1 => docker::image(self, saved, reference, architecture),
            Entry::Docker(_) => Err(self.several(&found)),
            Entry::Oci(_) => layout::image(self, &found, architecture),
        }
    }

    fn several(&self, found: &[&Found]) -> OciError {
        let found = found.iter().flat_map(|found| found.names.clone()).collect();
        OciError::SeveralImages { archive: self.path.clone(), found }
    }

    /// Returns the file `name`, which is `what`.
    fn file(&self, name: &Path, what: &str) -> Result<Blob, OciError> {
        let file = self.source.file(name).map_err(|source| self.unread(source))?;
        file.ok_or_else(|| OciError::Missing {
            archive: self.path.clone(),
            name: name.display().to_string(),
            what: what.to_owned(),
        })
    }

    /// Reads a document that is `what`, whose digest is `expected` if that is known, and returns it with its digest.
    fn document<T: DeserializeOwned>(
        &self,
        blob: &Blob,
        what: &str,
        expected: Option<Sha256>,
    ) -> Result<(T, Sha256), OciError> {
        let bytes = blob.bytes(LIMIT).map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => self.invalid(what, error.to_string()),
            _ => self.unread(error),
        })?;
        if bytes.is_empty() {
            return Err(self.invalid(what, "it is empty"));
        }
        let found = digest::of_bytes(&bytes);
        if let Some(expected) = expected.filter(|expected| *expected != found) {
            let (archive, what) = (self.path.clone(), what.to_owned());
            return Err(OciError::Digest { archive, what, found, expected });
        }
        let document =
            serde_json::from_slice(&bytes).map_err(|error| self.invalid(what, error.to_string()))?;
        Ok((document, found))
    }

    /// Puts an image together, if it is for the right platform.
    fn assemble(
        &self,
        config: &Blob,
        expected: Option<Sha256>,
        blobs: Vec<(Blob, Option<Sha256>)>,
        reference: Option<String>,
        architecture: &str,
    ) -> Result<Image, OciError> {
        const WHAT: &str = "the configuration of the image";
        let (file, id): (ConfigFile, _) = self.document(config, WHAT, expected)?;
        if !file.platform.is_linux(architecture) {
            return Err(self.other_platform(&[file.platform.to_string()], architecture));
        }
        if file.rootfs.diff_ids.len() != blobs.len() {
            let (ids, blobs) = (file.rootfs.diff_ids.len(), blobs.len());
            return Err(self.invalid(WHAT, format!("it has {ids} layers, the manifest has {blobs}")));
        }
        let layers = file.rootfs.diff_ids.iter().zip(blobs);
        let layers =
            layers.map(|(id, (blob, blob_digest))| Layer { diff_id: id.0, blob, blob_digest }).collect();
        Ok(Image {
            id,
            reference,
            architecture: architecture.to_owned(),
            config: file.config,
            layers,
            archive: self.path.clone(),
        })
    }

    fn other_platform(&self, found: &[String], architecture: &str) -> OciError {
        let wanted = format!("linux/{architecture}");
        OciError::Platform { archive: self.path.clone(), found: found.to_vec(), wanted }
    }

    fn invalid(&self, what: &str, reason: impl Into<String>) -> OciError {
        OciError::Document { archive: self.path.clone(), what: what.to_owned(), reason: reason.into() }
    }

    fn unread(&self, source: io::Error) -> OciError {
        OciError::Read { archive: self.path.clone(), source }
    }
}
