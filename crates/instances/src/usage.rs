//! What a home takes on the disk, entry by entry.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base::files::{FileError, entries, is_absence};
use serde::Serialize;
use vm::home::Home;

use crate::home::HomeExt as _;

/// Bytes of the unit that `st_blocks` counts, whatever the file system's block size: POSIX.
const BLOCK: u64 = 512;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// An image, or what was read out of one.
    Image,
    /// A snapshot.
    Snapshot,
    /// The data of an instance.
    Instance,
    /// An unfinished download.
    Download,
    /// An installation of QEMU, or what is known about it.
    Qemu,
    /// Anything else in the home.
    Other,
}

/// A file or a directory of the home.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// Where it is.
    pub path: PathBuf,
    /// Bytes that it takes on the disk. A file with several names counts for the first of them.
    pub bytes: u64,
}

/// Lists what the home consists of: by kind, the largest first. What takes no space is left out.
///
/// # Errors
/// When something cannot be examined.
pub fn of(home: &Home) -> Result<Vec<Entry>, FileError> {
    let places = [
        (Kind::Image, home.images()),
        (Kind::Snapshot, home.snapshots()),
        (Kind::Instance, home.instances()),
        (Kind::Download, home.downloads()),
        (Kind::Qemu, home.qemu()),
    ];
    let mut counted = BTreeSet::new();
    let mut found = Vec::new();
    let mut add = |kind, path: PathBuf| -> Result<(), FileError> {
        let bytes = allocated(&path, &mut counted)?;
        if bytes > 0 {
            found.push(Entry { kind, path, bytes });
        }
        Ok(())
    };
    for (kind, dir) in &places {
        for path in entries(dir)? {
            add(*kind, path)?;
        }
    }
    for path in entries(home.root())? {
        if places.iter().all(|(_, dir)| *dir != path) {
            add(Kind::Other, path)?;
        }
    }
    found.sort_by(|one, other| (one.kind, other.bytes, &one.path).cmp(&(other.kind, one.bytes, &other.path)));
    Ok(found)
}

/// Bytes that a file takes, or everything in a directory does, unless they are `counted` already. Links are not followed. What goes
/// meanwhile counts as nothing.
fn allocated(path: &Path, counted: &mut BTreeSet<(u64, u64)>) -> Result<u64, FileError> {
    let data = match fs::symlink_metadata(path) {
        Err(error) if is_absence(&error) => return Ok(0),
        data => data.map_err(FileError::of("look at", path))?,
    };
    if data.is_dir() {
        return entries(path)?.iter().map(|entry| allocated(entry, counted)).sum();
    }
    let is_new = data.nlink() == 1 || counted.insert((data.dev(), data.ino()));
    Ok(if is_new { data.blocks() * BLOCK } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_with_two_names_and_the_holes_of_one_are_counted_once_and_never() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        assert_eq!(of(&home).unwrap(), []);
        let snapshot = home.snapshots().join("one");
        for dir in [&snapshot, &home.instances().join("default"), &home.images(), &dir.path().join("cache")] {
            fs::create_dir_all(dir).unwrap();
        }
        fs::write(snapshot.join("memory"), vec![1; 1 << 20]).unwrap();
        fs::hard_link(snapshot.join("memory"), home.instances().join("default/memory")).unwrap();
        fs::write(home.instances().join("default/overlay.qcow2"), vec![1; 1 << 16]).unwrap();
        fs::File::create(home.images().join("hole")).unwrap().set_len(1 << 30).unwrap();
        fs::write(dir.path().join("cache/x"), vec![1; 1 << 16]).unwrap();
        std::os::unix::fs::symlink("/usr", home.images().join("link")).unwrap();

        let found: Vec<_> =
            of(&home).unwrap().into_iter().map(|it| (it.kind, it.path, it.bytes >> 16)).collect();
        assert_eq!(
            found,
            [
                (Kind::Snapshot, snapshot, 16),
                (Kind::Instance, home.instances().join("default"), 1),
                (Kind::Other, dir.path().join("cache"), 1),
            ]
        );
    }
}
