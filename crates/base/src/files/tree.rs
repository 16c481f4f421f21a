//! Directories that appear under their names as a whole.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::{FileError, UNWRITTEN, publish};
use crate::sparse::{self, Range};

/// Gives the finished directory `from`, with all that is in it, the name `to` on the same file system, durably. There is nothing
/// of that name yet, or an empty directory.
///
/// # Errors
/// When it cannot be synced or renamed; there is nothing at `to` then, or all of it.
pub fn publish_tree(from: &Path, to: &Path) -> Result<(), FileError> {
    File::open(from).and_then(|dir| sync_file_system(&dir)).map_err(FileError::of("write", from))?;
    publish(from, to)
}

/// Gives the directory `from`, with all that is in it, the name `to`, where there is nothing yet or an empty directory.
///
/// A file system may refuse to rename a directory though it renames files: overlayfs does so with directories of a lower layer, as
/// all directories of a container's image are. Then the directory is copied, and appears at `to` atomically.
///
/// # Errors
/// When it can be neither renamed nor copied, or the original of the copy cannot be removed.
pub fn move_dir(from: &Path, to: &Path) -> Result<(), FileError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => copy_over(from, to),
        renamed => renamed.map_err(FileError::of("rename", from)),
    }
}

/// [`move_dir`] by a copy beside `to`.
fn copy_over(from: &Path, to: &Path) -> Result<(), FileError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    let copy = tempfile::Builder::new().prefix(UNWRITTEN).tempdir_in(parent);
    let copy = copy.map_err(FileError::of("create a directory in", parent))?;
    copy_tree(from, copy.path())?;
    publish_tree(copy.path(), to)?;
    // It has its final name: it must not be removed on drop.
    let _ = copy.keep();
    fs::remove_dir_all(from).map_err(FileError::of("remove", from))
}

/// Copies what is in the directory `from` to the directory `to`, with modes and holes.
fn copy_tree(from: &Path, to: &Path) -> Result<(), FileError> {
    let read = FileError::of("read", from);
    let entries = fs::read_dir(from).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(read)?;
    for entry in entries {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().map_err(FileError::of("look at", &path))?;
        if kind.is_dir() {
            fs::create_dir(&copy).map_err(FileError::of("create", &copy))?;
            copy_tree(&path, &copy)?;
        } else if kind.is_symlink() {
            let linked = fs::read_link(&path).and_then(|target| std::os::unix::fs::symlink(target, &copy));
            linked.map_err(FileError::of("copy", &path))?;
        } else {
            copy_file(&path, &copy).map_err(FileError::of("copy", &path))?;
        }
    }
    let mode = fs::metadata(from).map_err(FileError::of("look at", from))?.permissions();
    fs::set_permissions(to, mode).map_err(FileError::of("write", to))
}

fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (from, to) = (File::open(from)?, File::create_new(to)?);
    let data = from.metadata()?;
    sparse::copy(&from, Range { start: 0, len: data.len() }, &to, 0)?;
    to.set_len(data.len())?;
    to.set_permissions(data.permissions())
}

/// Writes everything that waits for the disk of `file`: for a tree of thousands of files the quicker way.
#[cfg(target_os = "linux")]
fn sync_file_system(file: &File) -> io::Result<()> {
    Ok(rustix::fs::syncfs(file)?)
}

#[cfg(not(target_os = "linux"))]
fn sync_file_system(_: &File) -> io::Result<()> {
    rustix::fs::sync();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_tree_is_published_with_all_that_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join(".new"), dir.path().join("tree"));
        fs::create_dir_all(from.join("usr/bin")).unwrap();
        fs::write(from.join("usr/bin/cc"), "x").unwrap();
        publish_tree(&from, &to).unwrap();
        assert_eq!(fs::read(to.join("usr/bin/cc")).unwrap(), b"x");
        assert!(!from.exists());
        let error = publish_tree(&from, &to).unwrap_err().to_string();
        assert_eq!(error, format!("cannot write `{}`", from.display()));
    }

    #[test]
    fn a_directory_moves_to_another_file_system_too() {
        // The first is on one of its own wherever there is one.
        let (memory, disk) = (tempfile::tempdir_in("/dev/shm").unwrap(), tempfile::tempdir().unwrap());
        for moved in [move_dir, copy_over] {
            let (from, to) = (memory.path().join("from"), disk.path().join("to"));
            fs::create_dir_all(from.join("inner")).unwrap();
            fs::write(from.join("inner/secret"), "data").unwrap();
            fs::set_permissions(from.join("inner/secret"), fs::Permissions::from_mode(0o400)).unwrap();
            std::os::unix::fs::symlink("inner/secret", from.join("link")).unwrap();
            moved(&from, &to).unwrap();
            assert_eq!(fs::read(to.join("link")).unwrap(), b"data");
            assert_eq!(fs::metadata(to.join("inner/secret")).unwrap().permissions().mode() & 0o777, 0o400);
            assert!(!fs::exists(&from).unwrap());
            assert_eq!(fs::read_dir(disk.path()).unwrap().count(), 1, "nothing half-made is left");
            fs::remove_dir_all(&to).unwrap();
        }
    }
}
