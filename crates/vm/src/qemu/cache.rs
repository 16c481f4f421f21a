//! What is known about QEMU programs, so that an unchanged one is neither hashed nor asked again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::files::{FileError, PUBLIC_FILE, create_private_dir, present, read_document, write_json};
use base::io_uring;
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
    sha256: Sha256,
}

/// Capabilities, and what they depend on in addition to the program.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    host_kernel: String,
    /// Whether `io_uring` was allowed where it was asked, so that what is said about it is QEMU's own.
    #[serde(default)]
    io_uring_allowed: bool,
    capabilities: Capabilities,
}

impl Asked {
    /// What holds here, where `allowed` is whether `io_uring` is: a container may forbid what its host allows, and have its home.
    fn here(self, host_kernel: &str, allowed: bool) -> Option<Capabilities> {
        let holds = self.host_kernel == host_kernel && (self.io_uring_allowed || !allowed);
        let io_uring = self.capabilities.io_uring && allowed;
        holds.then_some(Capabilities { io_uring, ..self.capabilities })
    }
}

/// Release of the host's kernel, "6.1.0-18-amd64".
pub fn host_kernel() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

/// SHA-256 of the program at `path`.
pub(super) fn digest(home: &Home, path: &Path) -> Result<Sha256, QemuError> {
    let stamp = Stamp::of(path).map_err(FileError::of("look at", path))?;
    let cache = home.qemu_digests();
    let mut known: BTreeMap<PathBuf, Hashed> = read(&cache).unwrap_or_default();
    if let Some(hashed) = known.get(path).filter(|hashed| hashed.stamp == stamp) {
        return Ok(hashed.sha256);
    }
    let sha256 = digest::of_file(path).map_err(FileError::of("read", path))?;
    known.retain(|path, _| present(path).unwrap_or(true));
    known.insert(path.to_owned(), Hashed { stamp, sha256 });
    write(home, &cache, &known);
    Ok(sha256)
}

/// Capabilities of the program at `path`, whose digest is `sha256`.
pub(super) async fn capabilities(
    home: &Home,
    path: &Path,
    sha256: Sha256,
) -> Result<Capabilities, QemuError> {
    let cache = home.qemu_capabilities(sha256);
    let host_kernel = host_kernel();
    let io_uring_allowed = io_uring::is_allowed();
    let known = read::<Asked>(&cache).and_then(|asked| asked.here(&host_kernel, io_uring_allowed));
    if let Some(capabilities) = known {
        return Ok(capabilities);
    }
    let short = runtime::ensure(&home.qemu())?;
    let dir = tempfile::tempdir_in(&short).map_err(FileError::of("create a directory in", &short))?;
    let capabilities = capabilities::ask(path, dir.path())
        .await
        .map_err(|source| QemuError::Ask { path: path.to_owned(), source })?;
    let asked = Asked { host_kernel, io_uring_allowed, capabilities };
    write(home, &cache, &asked);
    Ok(asked.capabilities)
}

/// A cache that cannot be read is one that has to be filled again.
fn read<T: for<'de> Deserialize<'de>>(path: &Path) -> Option<T> {
    serde_json::from_slice(&read_document(path).ok()?).ok()
}

/// Where nothing can be written, the same is found out again the next time.
fn write<T: Serialize>(home: &Home, path: &Path, value: &T) {
    let _ = create_private_dir(&home.qemu()).and_then(|()| write_json(path, value, PUBLIC_FILE));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(io_uring_allowed: bool) -> Asked {
        let capabilities = Capabilities {
            version: "10.2.2".parse().unwrap(),
            machine_types: Vec::new(),
            accelerators: Vec::new(),
            migration: Vec::new(),
            memory_backend_file: Vec::new(),
            vmgenid: true,
            sandbox: true,
            io_uring: io_uring_allowed,
        };
        Asked { host_kernel: "6.1".to_owned(), io_uring_allowed, capabilities }
    }

    #[test]
    fn io_uring_is_tried_again_where_it_is_no_longer_forbidden() {
        assert!(asked(true).here("6.1", true).unwrap().io_uring);
        assert!(!asked(true).here("6.1", false).unwrap().io_uring);
        assert!(!asked(false).here("6.1", false).unwrap().io_uring);
        assert_eq!(asked(false).here("6.1", true), None);
        assert_eq!(asked(true).here("6.2", true), None);
    }

    #[test]
    fn where_nothing_can_be_remembered_the_digest_is_made_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let (home, program) = (Home::new(dir.path().join("home")), dir.path().join("qemu"));
        std::fs::write(&program, "program").unwrap();
        // A directory in the file's place refuses root as well.
        std::fs::create_dir_all(home.qemu_digests().join("in the way")).unwrap();
        assert_eq!(digest(&home, &program).unwrap(), digest::of_file(&program).unwrap());
        assert!(home.qemu_digests().is_dir());
    }

    #[test]
    fn a_remembered_digest_that_is_none_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (home, program) = (Home::new(dir.path().join("home")), dir.path().join("qemu"));
        std::fs::write(&program, "program").unwrap();
        let made = digest(&home, &program).unwrap();
        let text = std::fs::read_to_string(home.qemu_digests()).unwrap();
        for wrong in ["", "../../x", "\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}"] {
            std::fs::write(home.qemu_digests(), text.replace(&made.to_string(), wrong)).unwrap();
            assert_eq!(digest(&home, &program).unwrap(), made);
        }
    }
}
