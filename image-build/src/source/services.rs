//! The directory of a service: its description, its units, and two trees: of files, and of what it adds to the base.

use std::path::{Path, PathBuf};

use image::description::ServiceFile;

use super::{BASE, DPKG_SETTINGS, FILES, HOOKS, SourceError, list, read};

/// The description of a service.
const SERVICE_FILE: &str = "service.toml";

/// The suffixes of units: those of systemd.unit(5) that make sense in the directory of a service.
const UNIT_KINDS: [&str; 7] = ["service", "socket", "target", "timer", "path", "mount", "slice"];

/// The directory of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceDir {
    /// Name of the service.
    pub name: String,
    /// The directory.
    pub dir: PathBuf,
    /// Names of its units, sorted.
    pub units: Vec<String>,
    /// The tree that is copied over the guest's root, if it has one.
    pub files: Option<PathBuf>,
    /// The tree that it adds to what shapes the base, if it has one.
    pub base: Option<PathBuf>,
}

impl ServiceDir {
    /// Reads the service `name` in `dir`.
    ///
    /// # Errors
    /// When its description is missing or not valid, its unit is missing, or there is something else in the directory.
    pub(super) fn open(name: &str, dir: &Path) -> Result<(Self, ServiceFile), SourceError> {
        let mut it =
            Self { name: name.to_owned(), dir: dir.to_owned(), units: Vec::new(), files: None, base: None };
        let (path, file) = (it.file(), description(dir)?);
        for entry in list(dir)? {
            let name = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let kind = entry.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
            if entry.is_dir() && name == FILES {
                it.files = Some(entry);
            } else if entry.is_dir() && name == BASE {
                check_base(&entry)?;
                it.base = Some(entry);
            } else if entry.is_file() && UNIT_KINDS.contains(&kind) {
                it.units.push(name);
            } else if name != SERVICE_FILE {
                return Err(SourceError::Stray(entry));
            }
        }
        if file.part_of.is_some() || it.units.contains(&file.unit) {
            Ok((it, file))
        } else {
            Err(SourceError::NoUnit { path, unit: dir.join(&file.unit) })
        }
    }

    /// Its description.
    pub fn file(&self) -> PathBuf {
        self.dir.join(SERVICE_FILE)
    }
}

/// Reads the description of the service in `dir`.
pub(super) fn description(dir: &Path) -> Result<ServiceFile, SourceError> {
    let path = dir.join(SERVICE_FILE);
    ServiceFile::parse(&read(&path)?).map_err(|source| SourceError::Invalid { path, source })
}

/// Verifies that everything in the directory `base` of a service has an effect.
fn check_base(base: &Path) -> Result<(), SourceError> {
    let known = [HOOKS, DPKG_SETTINGS].map(|name| base.join(name));
    match list(base)?.into_iter().find(|entry| !known.contains(entry)) {
        Some(stray) => Err(SourceError::StrayInBase(stray)),
        None => Ok(()),
    }
}
