//! OCI layouts: `index.json` lists manifests, and everything else is in `blobs/` by its digest.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{Archive, Entry, Found};
use crate::blob::Blob;
use crate::documents::{Descriptor, Index, Manifest};
use crate::error::OciError;
use crate::image::Image;

const INDEX: &str = "index.json";

/// Annotations that name an image: that of containerd and Docker, and OCI's, which may be a mere tag.
const NAMES: [&str; 2] = ["io.containerd.image.name", "org.opencontainers.image.ref.name"];

/// Platform of what an index has beside images, such as attestations of how they were built.
const UNKNOWN: &str = "unknown";

/// Lists the images; none if it is not a layout.
pub(super) fn find(archive: &Archive) -> Result<Option<Vec<Found>>, OciError> {
    let file = archive.source.file(Path::new(INDEX)).map_err(|source| archive.unread(source))?;
    let Some(file) = file else { return Ok(None) };
    let (index, _): (Index, _) = archive.document(&file, "`index.json`", None)?;
    let mut found: Vec<Found> = Vec::new();
    for descriptor in images(index) {
        let names = NAMES.iter().filter_map(|key| descriptor.annotations.get(*key).cloned());
        let same = found
            .iter_mut()
            .find(|one| matches!(&one.entry, Entry::Oci(other) if other.digest == descriptor.digest));
        match same {
            // An image with two tags is there twice.
            Some(one) => one.names.extend(names),
            None => found.push(Found { names: names.collect(), entry: Entry::Oci(descriptor) }),
        }
    }
    Ok(Some(found))
}

/// Reads the image for `architecture`, one of `found`.
pub(super) fn image(archive: &Archive, found: &[&Found], architecture: &str) -> Result<Image, OciError> {
    let mut others = Vec::new();
    let mut fitting = Vec::new();
    for one in found {
        let Entry::Oci(descriptor) = &one.entry else { continue };
        match &descriptor.platform {
            Some(platform) if !platform.is_linux(architecture) => others.push(platform.to_string()),
            _ => fitting.push((*one, descriptor)),
        }
    }
    let (one, descriptor) = match fitting.as_slice() {
        [] => return Err(archive.other_platform(&others, architecture)),
        [only] => *only,
        several => return Err(archive.several(&several.iter().map(|(one, _)| *one).collect::<Vec<_>>())),
    };
    let descriptor = if descriptor.is_index() {
        let index: Index = document(archive, descriptor, "the index of the image")?;
        &for_platform(archive, index, architecture)?
    } else {
        descriptor
    };
    let manifest: Manifest = document(archive, descriptor, "the manifest of the image")?;
    let config = blob(archive, &manifest.config, "the configuration of the image")?;
    let mut blobs = Vec::new();
    for (index, layer) in manifest.layers.iter().enumerate() {
        blobs.push((blob(archive, layer, &format!("layer {}", index + 1))?, Some(layer.digest.0)));
    }
    let reference = one.names.first().cloned();
    archive.assemble(&config, Some(manifest.config.digest.0), blobs, reference, architecture)
}

/// Leaves out what is not an image.
fn images(index: Index) -> impl Iterator<Item = Descriptor> {
    let is_image =
        |descriptor: &Descriptor| descriptor.platform.as_ref().is_none_or(|platform| platform.os != UNKNOWN);
    index.manifests.into_iter().filter(is_image)
}

fn for_platform(archive: &Archive, index: Index, architecture: &str) -> Result<Descriptor, OciError> {
    let mut others = Vec::new();
    for descriptor in images(index) {
        match &descriptor.platform {
            Some(platform) if platform.is_linux(architecture) => return Ok(descriptor),
            Some(platform) => others.push(platform.to_string()),
            None => others.push("an unnamed platform".to_owned()),
        }
    }
    Err(archive.other_platform(&others, architecture))
}

fn document<T: DeserializeOwned>(
    archive: &Archive,
    descriptor: &Descriptor,
    what: &str,
) -> Result<T, OciError> {
    let blob = blob(archive, descriptor, what)?;
    Ok(archive.document(&blob, what, Some(descriptor.digest.0))?.0)
}

/// Returns the file that `descriptor` describes, whose length is right.
fn blob(archive: &Archive, descriptor: &Descriptor, what: &str) -> Result<Blob, OciError> {
    let name: PathBuf = ["blobs", "sha256", &descriptor.digest.0.to_string()].iter().collect();
    let blob = archive.file(&name, what)?;
    if blob.len() != descriptor.size {
        return Err(OciError::Length {
            archive: archive.path.clone(),
            what: what.to_owned(),
            found: blob.len(),
            expected: descriptor.size,
        });
    }
    Ok(blob)
}
