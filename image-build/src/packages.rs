//! What is installed in an image, from dpkg's own record.

use std::collections::BTreeMap;

use deb822_fast::Deb822;

use crate::ext4::{ReadError, Reader};

/// dpkg's record of packages.
const STATUS: &str = "/var/lib/dpkg/status";

/// The distribution's point release.
const DEBIAN_VERSION: &str = "/etc/debian_version";

/// The record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PackagesError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It is not in dpkg's format.
    #[error("`{STATUS}` of the image is not valid")]
    Parse(#[source] deb822_fast::Error),
}

/// What is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installed {
    /// Point release, "13.2".
    pub release: String,
    /// Versions by package name.
    pub packages: BTreeMap<String, String>,
}

/// Reads what is installed in a root file system.
///
/// # Errors
/// When dpkg's record cannot be read or is not valid.
pub fn installed(fs: &Reader) -> Result<Installed, PackagesError> {
    let release = String::from_utf8_lossy(&fs.read(DEBIAN_VERSION)?).trim().to_owned();
    Ok(Installed { release, packages: parse(&fs.read(STATUS)?)? })
}

/// Removed packages whose settings are still there are in the record too, with another state.
fn parse(status: &[u8]) -> Result<BTreeMap<String, String>, PackagesError> {
    let record = Deb822::from_reader(status).map_err(PackagesError::Parse)?;
    let installed = record.iter().filter(|package| package.get("Status") == Some("install ok installed"));
    Ok(installed
        .filter_map(|package| Some((package.get("Package")?.to_owned(), package.get("Version")?.to_owned())))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let status = "Package: redis-server\nStatus: install ok installed\nVersion: 5:8.0.2-3\nDescription: store\n with lines\n\n\
            Package: vim\nStatus: deinstall ok config-files\nVersion: 2:9.1\n\n";
        let packages = parse(status.as_bytes()).unwrap();
        assert_eq!(packages, BTreeMap::from([("redis-server".into(), "5:8.0.2-3".into())]));
    }
}
