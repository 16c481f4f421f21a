//! The description of a saved state, which is part of the record of a snapshot or a suspension.

use std::collections::BTreeMap;
use std::path::Path;

use base::files::{PRIVATE_FILE, read_document, write_json};
use serde::{Deserialize, Serialize};
use vm::saving::Strategy;
use vm::stamp::Stamp;

use super::fingerprint::Fingerprint;
use super::frozen::{Damage, Frozen, Identity};
use crate::checked::{self, Checked, Impossible};

/// The state of a machine at one moment: how it is kept, what it fits, and in which files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SavedState {
    /// How memory and devices are kept.
    pub strategy: Strategy,
    /// What they fit.
    pub fingerprint: Fingerprint,
    /// Every file that must not change, by its name in the directory of the document.
    pub files: BTreeMap<String, Frozen>,
}

impl Checked for SavedState {
    fn check(&self) -> Result<(), Impossible> {
        checked::entries("the name of a file", &self.files)?;
        self.fingerprint.topology.check()
    }
}

impl SavedState {
    /// Verifies that every file in `dir` is what it was. The content of a copy is verified once, and recorded in `copies` where that is
    /// possible.
    ///
    /// # Errors
    /// With the first that is not.
    pub(crate) fn verify(&self, dir: &Path, copies: Option<&Path>) -> Result<(), Damage> {
        let read = copies.and_then(|note| read_document(note).ok());
        let read = read.and_then(|text| serde_json::from_slice(&text).ok());
        let mut known: BTreeMap<String, Stamp> = read.unwrap_or_default();
        let mut news = false;
        for (name, frozen) in &self.files {
            let path = dir.join(name);
            if known.get(name).is_some_and(|copy| Stamp::of(&path).is_ok_and(|found| found == *copy)) {
                continue;
            }
            if let Identity::Copied(stamp) = frozen.verify(name, &path)? {
                known.insert(name.clone(), stamp);
                news = true;
            }
        }
        if let Some(note) = copies.filter(|_| news) {
            // Where nothing can be written, they are verified again the next time.
            let _ = write_json(note, &known, PRIVATE_FILE);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::super::frozen::Proof;
    use super::*;

    /// A state of an invented machine, in `files`.
    pub(crate) fn sample(files: BTreeMap<String, Frozen>) -> SavedState {
        let fingerprint = super::super::fingerprint::tests::sample();
        SavedState { strategy: Strategy::Template, fingerprint, files }
    }

    #[test]
    fn a_snapshot_that_was_copied_is_verified_once() {
        let (root, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = root.path().join("memory");
        fs::write(&path, vec![7; 9000]).unwrap();
        let state = sample(Frozen::freeze_all([(path.clone(), Proof::Pages)]).unwrap());
        fs::copy(&path, copy.path().join("memory")).unwrap();
        let note = copy.path().join("copies.json");
        let verify = || state.verify(copy.path(), Some(&note));
        verify().unwrap();
        let noted = fs::metadata(&note).unwrap().modified().unwrap();
        verify().unwrap();
        assert_eq!(fs::metadata(&note).unwrap().modified().unwrap(), noted);
        // The record is valid for that copy alone.
        fs::remove_file(copy.path().join("memory")).unwrap();
        fs::write(copy.path().join("memory"), vec![8; 9000]).unwrap();
        assert_eq!(verify().unwrap_err().to_string(), "its file `memory` has been changed");
    }
}
