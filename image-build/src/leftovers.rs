//! What builds leave behind: of those that were killed, working directories; of all, logs, and what is kept for the next ones.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use base::files::{FileError, FileLock};

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

/// Marks the directory as the most recently used one.
///
/// # Errors
/// When it cannot be changed.
pub(crate) fn touch(dir: &Path) -> Result<(), FileError> {
    let now = fs::FileTimes::new().set_modified(std::time::SystemTime::now());
    File::open(dir).and_then(|dir| dir.set_times(now)).map_err(FileError::of("change", dir))
}

/// Removes all but the `keep` most recently used directories in `dir`. One whose lock, which has its name and `.lock`, is held stays.
///
/// # Errors
/// When one cannot be removed.
pub(crate) fn keep_used(dir: &Path, keep: usize) -> Result<(), FileError> {
    let list = || -> std::io::Result<Vec<_>> {
        let mut dirs = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let metadata = entry.metadata()?;
            if metadata.is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b".") {
                dirs.push((metadata.modified()?, entry.path()));
            }
        }
        dirs.sort_by_key(|(modified, _)| std::cmp::Reverse(*modified));
        Ok(dirs)
    };
    for (_, unused) in list().map_err(FileError::of("list", dir))?.into_iter().skip(keep) {
        if let Some(_lock) = FileLock::try_acquire(&unused.with_extension("lock"))? {
            fs::remove_dir_all(&unused).map_err(FileError::of("remove", &unused))?;
        }
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
    use std::time::{Duration, SystemTime};

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

    #[test]
    fn what_was_not_used_for_longest_is_removed_unless_it_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        for age in 0..5_u64 {
            let one = dir.path().join(format!("base{age}"));
            fs::create_dir(&one).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age * 60);
            File::open(&one).unwrap().set_times(fs::FileTimes::new().set_modified(used)).unwrap();
        }
        let _in_use = FileLock::try_acquire(&dir.path().join("base4.lock")).unwrap();
        keep_used(dir.path(), 3).unwrap();
        let left: Vec<_> = (0..5).filter(|age| dir.path().join(format!("base{age}")).exists()).collect();
        assert_eq!(left, [0, 1, 2, 4]);
    }
}
