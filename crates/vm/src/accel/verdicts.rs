//! Remembered verdicts about accelerators.

use std::path::Path;

use base::digest::Sha256;
use base::files::{PUBLIC_FILE, create_private_dir, read_document, write_atomic};
use serde::{Deserialize, Serialize};

use super::Unusable;
use crate::machine::Accelerator;

/// What a verdict depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Key {
    pub(super) accelerator: Accelerator,
    pub(super) host_kernel: String,
    /// SHA-256 of the QEMU program.
    pub(super) qemu: Sha256,
    pub(super) cpu_model: String,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(flatten)]
    key: Key,
    works: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<Unusable>,
}

/// The verdict that was reached for `key`.
pub(super) fn recall(path: &Path, key: &Key) -> Option<Result<(), Unusable>> {
    let entry = read(path).into_iter().find(|entry| entry.key == *key)?;
    match entry.reason {
        Some(reason) => Some(Err(reason)),
        None => entry.works.then_some(Ok(())),
    }
}

/// Keeps a verdict in the place of an older one for the same key, and of those for other kernels. Where nothing can be written, the
/// same is tried again the next time.
pub(super) fn remember(path: &Path, key: Key, verdict: &Result<(), Unusable>) {
    let mut entries = read(path);
    entries.retain(|entry| entry.key != key && entry.key.host_kernel == key.host_kernel);
    entries.push(Entry { key, works: verdict.is_ok(), reason: verdict.as_ref().err().cloned() });
    let text = serde_json::to_vec_pretty(&entries).expect("verdicts serialise");
    let dir = path.parent().unwrap_or(path);
    let _ = create_private_dir(dir).and_then(|()| write_atomic(path, &text, PUBLIC_FILE));
}

/// A file that cannot be read remembers nothing.
fn read(path: &Path) -> Vec<Entry> {
    read_document(path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base::digest;

    use super::*;

    fn key(qemu: &str, host_kernel: &str) -> Key {
        Key {
            accelerator: Accelerator::Kvm,
            host_kernel: host_kernel.to_owned(),
            qemu: digest::of_bytes(qemu.as_bytes()),
            cpu_model: "host".to_owned(),
        }
    }

    #[test]
    fn a_verdict_holds_for_its_kernel_and_qemu_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("qemu").join("accelerators.json");
        let broken =
            Err(Unusable::Died { status: "was killed by signal 6".into(), last_words: "assert".into() });
        remember(&path, key("a", "6.1"), &broken);
        remember(&path, key("b", "6.1"), &Ok(()));
        assert_eq!(recall(&path, &key("a", "6.1")), Some(broken));
        assert_eq!(recall(&path, &key("b", "6.1")), Some(Ok(())));
        assert_eq!(recall(&path, &key("a", "6.2")), None);

        remember(&path, key("a", "6.1"), &Ok(()));
        assert_eq!(recall(&path, &key("a", "6.1")), Some(Ok(())));
    }

    #[test]
    fn a_verdict_that_cannot_be_kept_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accelerators.json");
        std::fs::create_dir_all(path.join("in the way")).unwrap();
        remember(&path, key("a", "6.1"), &Ok(()));
        assert_eq!(recall(&path, &key("a", "6.1")), None);
    }

    #[test]
    fn a_damaged_file_remembers_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("accelerators.json");
        std::fs::write(&path, "{").unwrap();
        assert_eq!(recall(&path, &key("a", "6.1")), None);
        remember(&path, key("a", "6.1"), &Ok(()));
        assert_eq!(recall(&path, &key("a", "6.1")), Some(Ok(())));
    }
}
