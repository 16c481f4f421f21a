//! Finds the images of a compose file: where the command line says, else with the host's `skopeo`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::blocking;
use compose::Project;
use compose::model::Service;
use image::arch::Arch;
use oci::{Archive, Image, OciError, same_reference};

use super::error::{ContainersError, Missing, NotCopied};
use super::{ComposeFile, skopeo};

/// Where an image is, as it is named on the command line: `NAME=PLACE`, or `PLACE` for what is there by its references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// A service, or the reference of an image.
    pub name: Option<String>,
    /// Where it is.
    pub place: ImagePlace,
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImagePlace {
    /// In an archive: a file of `docker save`, an OCI archive, or a directory with an OCI layout.
    File(PathBuf),
    /// Where `skopeo` copies it from: `docker://NAME`, or another one of its transports.
    Skopeo(String),
}

impl FromStr for ImageFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, place) = text.split_once('=').map_or((None, text), |(name, place)| (Some(name), place));
        if place.is_empty() || name.is_some_and(str::is_empty) {
            return Err("write `NAME=FILE`, with the name of a service or of its image".to_owned());
        }
        if skopeo::is_place(place) {
            // A copy has no name of its own.
            let name = name.or_else(|| skopeo::reference(place));
            let name =
                name.ok_or("write `NAME=` in front of it, with the name of a service or of its image")?;
            return Ok(Self { name: Some(name.to_owned()), place: ImagePlace::Skopeo(place.to_owned()) });
        }
        let path = std::path::absolute(place).map_err(|error| error.to_string())?;
        Ok(Self { name: name.map(str::to_owned), place: ImagePlace::File(path) })
    }
}

impl fmt::Display for ImagePlace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(formatter),
            Self::Skopeo(place) => formatter.write_str(place),
        }
    }
}

/// The images of a stack, by the services of the compose file.
#[derive(Debug, Clone, Default)]
pub struct Found(pub(super) BTreeMap<String, Image>);

impl Found {
    /// The images, by the names that the compose file gives its services.
    pub fn images(&self) -> &BTreeMap<String, Image> {
        &self.0
    }
}

/// Finds all of them.
pub(super) async fn find(
    file: &ComposeFile,
    project: &Project,
    arch: Arch,
    scratch: &Path,
) -> Result<Found, ContainersError> {
    let services = || project.services.iter().filter(|service| service.emulator.native.is_none());
    for ImageFile { name, place } in &file.images {
        let Some(name) = name else { continue };
        if !services().any(|service| is_called(service, name)) {
            let (name, place, file) = (name.clone(), place.clone(), file.path.clone());
            return Err(ContainersError::Unused { name, place, file });
        }
    }
    let mut files = Vec::new();
    for ImageFile { name, place } in &file.images {
        let path = match place {
            ImagePlace::File(path) => path.clone(),
            ImagePlace::Skopeo(from) => skopeo::copy(from, arch, scratch).await?,
        };
        files.push((name.clone(), path));
    }
    let (wanted, directory) = (services().cloned().collect::<Vec<_>>(), scratch.to_owned());
    let (mut found, missing) = blocking::run(move || in_archives(&files, &wanted, arch, &directory)).await?;
    let (mut still_missing, mut reasons) = (Vec::new(), Vec::new());
    for one in missing {
        match skopeo::found(&one.reference, arch, scratch).await? {
            Ok(image) => drop(found.insert(one.service, image)),
            Err(reason) => {
                reasons.extend(reason);
                still_missing.push(one);
            }
        }
    }
    if still_missing.is_empty() {
        return Ok(Found(found));
    }
    let skopeo = (!reasons.is_empty()).then(|| NotCopied(reasons.join("; ")));
    Err(ContainersError::Missing { missing: still_missing, arch, skopeo })
}

/// Whether a service or its image is called `name`.
fn is_called(service: &Service, name: &str) -> bool {
    service.name == name || service.image.as_ref().is_some_and(|image| same_reference(&image.value, name))
}

/// The images that are in the archives, and those that are not.
fn in_archives(
    files: &[(Option<String>, PathBuf)],
    services: &[Service],
    arch: Arch,
    scratch: &Path,
) -> Result<(BTreeMap<String, Image>, Vec<Missing>), OciError> {
    let open = |(name, path): &(Option<String>, PathBuf)| Ok((name.clone(), Archive::open(path, scratch)?));
    let archives = files.iter().map(open).collect::<Result<Vec<_>, OciError>>()?;
    let (mut found, mut missing) = (BTreeMap::new(), Vec::new());
    for service in services {
        let reference = service.image.as_ref().map(|image| image.value.clone()).unwrap_or_default();
        match of_service(&archives, service, &reference, arch)? {
            Some(image) => drop(found.insert(service.name.clone(), image)),
            None => missing.push(Missing { service: service.name.clone(), reference }),
        }
    }
    Ok((found, missing))
}

/// The image of a service: in an archive that is named for it, else by its reference in any. An archive for another architecture is
/// an error only where no other has the image.
fn of_service(
    archives: &[(Option<String>, Archive)],
    service: &Service,
    reference: &str,
    arch: Arch,
) -> Result<Option<Image>, OciError> {
    let is_named = |name: &Option<String>| name.as_ref().is_some_and(|name| is_called(service, name));
    let named = archives.iter().filter(|(name, _)| is_named(name));
    let others = archives.iter().filter(|(name, _)| !is_named(name));
    let mut other_platform = None;
    let looked = named.map(|(_, archive)| lone_or_called(archive, reference, arch).map(Some));
    let looked = looked.chain(others.map(|(_, archive)| called(archive, reference, arch)));
    for image in looked {
        match image {
            Ok(None) => {}
            Err(error @ OciError::Platform { .. }) => other_platform = other_platform.or(Some(error)),
            image => return image,
        }
    }
    other_platform.map_or(Ok(None), Err)
}

/// The only image of an archive, or the one that is called so.
fn lone_or_called(archive: &Archive, reference: &str, arch: Arch) -> Result<Image, OciError> {
    match archive.image(None, arch.as_str()) {
        Err(OciError::SeveralImages { .. }) => archive.image(Some(reference), arch.as_str()),
        image => image,
    }
}

/// The image of an archive that is called so, if there is one.
fn called(archive: &Archive, reference: &str, arch: Arch) -> Result<Option<Image>, OciError> {
    match archive.image(Some(reference), arch.as_str()) {
        Err(OciError::NoSuchImage { .. }) => Ok(None),
        image => image.map(Some),
    }
}
