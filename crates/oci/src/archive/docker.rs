//! Archives of `docker save`: `manifest.json` names the configuration and the layers of each image.

use std::path::Path;

use base::digest::Sha256;

use super::{Archive, Entry, Found};
use crate::documents::Saved;
use crate::error::OciError;
use crate::image::Image;

const MANIFEST: &str = "manifest.json";

/// Lists the images; none if it is not such an archive.
pub(super) fn find(archive: &Archive) -> Result<Option<Vec<Found>>, OciError> {
    let file = archive.source.file(Path::new(MANIFEST)).map_err(|source| archive.unread(source))?;
    let Some(file) = file else { return Ok(None) };
    let (saved, _): (Vec<Saved>, _) = archive.document(&file, "`manifest.json`", None)?;
    let found = |saved: Saved| Found { names: saved.repo_tags.clone(), entry: Entry::Docker(saved) };
    Ok(Some(saved.into_iter().map(found).collect()))
}

/// Reads an image.
pub(super) fn image(
    archive: &Archive,
    saved: &Saved,
    reference: Option<String>,
    architecture: &str,
) -> Result<Image, OciError> {
    let config = Path::new(&saved.config);
    let file = archive.file(config, "the configuration of the image")?;
    let mut blobs = Vec::new();
    for (index, name) in saved.layers.iter().enumerate() {
        let name = Path::new(name);
        blobs.push((archive.file(name, &format!("layer {}", index + 1))?, named(name)));
    }
    archive.assemble(&file, named(config), blobs, reference, architecture)
}

/// Returns the digest that is the name of the file: `DIGEST.json` and `blobs/sha256/DIGEST`. A layer in `ID/layer.tar` has none.
fn named(name: &Path) -> Option<Sha256> {
    name.file_name()?.to_str()?.trim_end_matches(".json").parse().ok()
}
