//! What builds leave behind: of those that were killed, working directories; of all, logs.

use std::fs;
use std::path::{Path, PathBuf};

use base::files::FileError;

/// Removes the directories in `dir` whose names begin with `prefix`. To be called with the lock that their creator holds, so that
/// none of them is in use.
///
/// # Errors
/// When one cannot be removed.
pub(crate) fn sweep(dir: &Path, prefix: &str) -> Result<(), FileError> {
    for path in starting_with(dir, prefix)? {
        fs::remove_dir_all(&path).map_err(FileError::of("remove", &path))?;
    }
    Ok(())
}

/// Removes the directories in `dir` whose names begin with `prefix`, except for the last `keep` of them by name.
///
/// # Errors
/// When one cannot be removed.
pub(crate) fn keep_last(dir: &Path, prefix: &str, keep: usize) -> Result<(), FileError> {
    for path in starting_with(dir, prefix)?.iter().rev().skip(keep) {
        fs::remove_dir_all(path).map_err(FileError::of("remove", path))?;
    }
    Ok(())
}

/// The directories in `dir` whose names begin with `prefix`, sorted.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn starting_with(dir: &Path, prefix: &str) -> Result<Vec<PathBuf>, FileError> {
    let list = || -> std::io::Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(prefix) && entry.file_type()?.is_dir() {
                found.push(entry.path());
            }
        }
        found.sort();
        Ok(found)
    };
    list().map_err(FileError::of("list", dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn only_directories_with_the_prefix_go() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".build-amd64-1", ".build-amd64-2", ".build-arm64-1", "images"] {
            fs::create_dir_all(dir.path().join(name).join("inner")).unwrap();
        }
        fs::write(dir.path().join(".build-amd64-lock"), "").unwrap();
        sweep(dir.path(), ".build-amd64-").unwrap();
        assert_eq!(names(dir.path()), [".build-amd64-lock", ".build-arm64-1", "images"]);
    }

    #[test]
    fn the_last_ones_by_name_stay() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["build-2", "build-1", "build-3", "other"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        keep_last(dir.path(), "build-", 2).unwrap();
        assert_eq!(names(dir.path()), ["build-2", "build-3", "other"]);
    }
}
