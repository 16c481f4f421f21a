//! Finds the images of a compose file: in the archives that are named, else with the host's `skopeo`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use base::blocking;
use base::process::{Cmd, ProcessError};
use compose::Project;
use compose::model::Service;
use image::arch::Arch;
use oci::{Archive, Image, OciError, same_reference};

use super::ComposeFile;
use super::error::{ContainersError, Missing};

/// Where `skopeo` looks, in this order: the daemon of the host, then registries.
const TRANSPORTS: [&str; 2] = ["docker-daemon:", "docker://"];

/// An archive of images, as it is named on the command line: `NAME=FILE`, or `FILE` for what it has by its references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageFile {
    /// A service, or the reference of an image.
    pub name: Option<String>,
    /// The archive: a file of `docker save`, an OCI archive, or a directory with an OCI layout.
    pub path: PathBuf,
}

impl FromStr for ImageFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = text.split_once('=').map_or((None, text), |(name, path)| (Some(name), path));
        if path.is_empty() || name.is_some_and(str::is_empty) {
            return Err("write `NAME=FILE`, with the name of a service or of its image".to_owned());
        }
        let path = std::path::absolute(path).map_err(|error| error.to_string())?;
        Ok(Self { name: name.map(str::to_owned), path })
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
    for ImageFile { name, path } in &file.images {
        let Some(name) = name else { continue };
        if !services().any(|service| is_called(service, name)) {
            let (name, path, file) = (name.clone(), path.clone(), file.path.clone());
            return Err(ContainersError::Unused { name, path, file });
        }
    }
    let (files, wanted) = (file.images.clone(), services().cloned().collect::<Vec<_>>());
    let directory = scratch.to_owned();
    let (mut found, missing) = blocking::run(move || in_archives(&files, &wanted, arch, &directory)).await?;
    let mut still_missing = Vec::new();
    for one in missing {
        match copied(&one.reference, arch, scratch).await? {
            Some(image) => drop(found.insert(one.service, image)),
            None => still_missing.push(one),
        }
    }
    if still_missing.is_empty() {
        Ok(Found(found))
    } else {
        Err(ContainersError::Missing { missing: still_missing, arch })
    }
}

/// Whether a service or its image is called `name`.
fn is_called(service: &Service, name: &str) -> bool {
    service.name == name || service.image.as_ref().is_some_and(|image| same_reference(&image.value, name))
}

/// The images that are in the archives, and those that are not.
fn in_archives(
    files: &[ImageFile],
    services: &[Service],
    arch: Arch,
    scratch: &Path,
) -> Result<(BTreeMap<String, Image>, Vec<Missing>), OciError> {
    let open = |file: &ImageFile| Ok((file.name.clone(), Archive::open(&file.path, scratch)?));
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

/// The image that the host's `skopeo` copies, if the host has it and it finds the image.
async fn copied(reference: &str, arch: Arch, scratch: &Path) -> Result<Option<Image>, ContainersError> {
    let last = reference.rsplit('/').next().unwrap_or(reference);
    let tagged = if last.contains([':', '@']) { reference.to_owned() } else { format!("{reference}:latest") };
    for transport in TRANSPORTS {
        let dir = tempfile::Builder::new().prefix("image-").tempdir_in(scratch);
        let dir = dir.map_err(base::files::FileError::of("create a directory in", scratch))?;
        let file = dir.path().join("image.tar");
        let copy = Cmd::new("skopeo")
            .args(["copy", "--quiet", "--override-os", "linux", "--override-arch", arch.as_str()])
            .arg(format!("{transport}{tagged}"))
            .arg(format!("oci-archive:{}", file.display()));
        match copy.output().await {
            Ok(_) => {
                // The archive is read until the layers are written, which is as long as `scratch` exists.
                let (file, scratch) = (dir.keep().join("image.tar"), scratch.to_owned());
                let image = blocking::run(move || Archive::open(&file, &scratch)?.image(None, arch.as_str()));
                return Ok(Some(image.await?));
            }
            Err(ProcessError::NotFound { .. }) => return Ok(None),
            Err(_) => {}
        }
    }
    Ok(None)
}
