//! What is known about QEMU programs, so that an unchanged one is neither hashed nor asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use host::digest;
use host::files::{FileError, PUBLIC_FILE, create_private_dir, present, write_json};
use serde::{Deserialize, Serialize};

use super::{Capabilities, QemuError, capabilities};
use crate::home::Home;
use crate::runtime;
use crate::stamp::Stamp;

/// Digest of a program file and what the digest was made from.
#[derive(Serialize, Deserialize)]
struct Hashed {
    #[serde(flatten)]
    stamp: Stamp,
    sha256: String,
}

/// Capabilities and what they depend on besides the program.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    host_kernel: String,
    capabilities: Capabilities,
}

/// Release of the host's kernel, "6.1.0-18-amd64".
pub(crate) fn host_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// SHA-256 of the program at `path`.
pub(super) fn digest(home: &Home, path: &Path) -> Result<String, QemuError> {
    let stamp = Stamp::of(path).map_err(FileError::of("look at", path))?;
    let cache = home.qemu_digests();
    let mut known: BTreeMap<PathBuf, Hashed> = read(&cache).unwrap_or_default();
    if let Some(hashed) = known.get(path).filter(|hashed| hashed.stamp == stamp) {
        return Ok(hashed.sha256.clone());
    }
    let sha256 = digest::of_file(path).map_err(FileError::of("read", path))?;
    known.retain(|path, _| present(path).unwrap_or(true));
    known.insert(path.to_owned(), Hashed { stamp, sha256: sha256.clone() });
    write(home, &cache, &known)?;
    Ok(sha256)
}

/// Capabilities of the program at `path`, whose digest is `sha256`.
pub(super) async fn capabilities(home: &Home, path: &Path, sha256: &str) -> Result<Capabilities, QemuError> {
    let cache = home.qemu_capabilities(sha256);
    let host_kernel = host_kernel();
    if let Some(asked) = read::<Asked>(&cache).filter(|asked| asked.host_kernel == host_kernel) {
        return Ok(asked.capabilities);
    }
    let short = runtime::ensure(&home.qemu())?;
    let dir = tempfile::tempdir_in(&short).map_err(FileError::of("create a directory in", &short))?;
    let capabilities = capabilities::ask(path, dir.path())
        .await
        .map_err(|source| QemuError::Ask { path: path.to_owned(), source })?;
    let asked = Asked { host_kernel, capabilities };
    write(home, &cache, &asked)?;
    Ok(asked.capabilities)
}

/// A cache that cannot be read is one that has to be filled again.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

fn write<T: Serialize>(home: &Home, path: &Path, value: &T) -> Result<(), FileError> {
    create_private_dir(&home.qemu())?;
    write_json(path, value, PUBLIC_FILE)
}
