//! Files that survive a crash at any moment: atomic replacement, private directories, locks between processes.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dangling::if_present;
use crate::sparse::Range;

/// Mode of files that only their owner may read.
pub const PRIVATE_FILE: u32 = 0o600;

/// Mode of ordinary files.
pub const PUBLIC_FILE: u32 = 0o644;

/// Prefix of what [`write_atomic`] has not put in its place yet.
const UNWRITTEN: &str = ".tmp-";

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FileError {
    /// What was tried: "write", "create", "lock".
    pub action: &'static str,
    /// On what.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

impl FileError {
    /// For `map_err`: names the action and the path.
    pub fn of(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }

    /// What to do about it, where the operating system's word does not say it all.
    pub fn advice(&self) -> Option<String> {
        crate::advice::about(&self.path, &self.source)
    }
}

/// Longest document of ours in bytes: records, manifests and what is known about programs are far shorter.
pub const DOCUMENT_LIMIT: u64 = 1 << 20;

/// Reads a document of ours, a regular file of at most [`DOCUMENT_LIMIT`] bytes: anything else at its path could block the reader or
/// fill the memory.
///
/// # Errors
/// When it cannot be read, is not a regular file, or is too long.
pub fn read_document(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open_file(path)?.take(DOCUMENT_LIMIT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > DOCUMENT_LIMIT {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it has more than {DOCUMENT_LIMIT} bytes"),
        ));
    }
    Ok(bytes)
}

/// Opens a regular file for reading, and refuses anything else at its path: opening a pipe would wait for its other end.
///
/// # Errors
/// When it cannot be opened, or is not a file ([`io::ErrorKind::InvalidData`]).
pub fn open_file(path: &Path) -> io::Result<File> {
    let is_file = |data: fs::Metadata| {
        let other = || io::Error::new(io::ErrorKind::InvalidData, "it is not a file");
        data.is_file().then_some(()).ok_or_else(other)
    };
    is_file(fs::metadata(path)?)?;
    // It may have become something else meanwhile.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    is_file(file.metadata()?)?;
    Ok(file)
}

/// Whether there is something at `path`. That it cannot be looked at is an error, and never taken for an absence.
///
/// # Errors
/// When permissions, the disk, a file server or a link that leads nowhere forbid the look.
pub fn present(path: &Path) -> Result<bool, FileError> {
    let found = if_present(path, fs::metadata(path)).map_err(FileError::of("look at", path))?;
    Ok(found.is_some())
}

/// Whether `error` says that there is nothing at the path, and nothing else.
pub fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Lists the paths in the directory `dir`, sorted by name; none if it does not exist.
///
/// # Errors
/// When it cannot be listed.
pub fn entries(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let paths = |entries: fs::ReadDir| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    let found = if_present(dir, fs::read_dir(dir).and_then(paths)).map_err(FileError::of("list", dir))?;
    let mut paths = found.unwrap_or_default();
    paths.sort_unstable();
    Ok(paths)
}

/// Removes the file at `path`, if there is one.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove_if_there(path: &Path) -> Result<(), FileError> {
    unless_absent(fs::remove_file(path)).map_err(FileError::of("remove", path))
}

/// Removes the directory at `path` with all that is in it, if there is one.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn remove_dir_if_there(path: &Path) -> Result<(), FileError> {
    unless_absent(fs::remove_dir_all(path)).map_err(FileError::of("remove", path))
}

fn unless_absent(removed: io::Result<()>) -> io::Result<()> {
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Replaces the file at `path` with `bytes`: temporary file beside it, fsync, rename, fsync of the directory.
/// Readers see the old content or the new, never a part.
///
/// # Errors
/// When the directory cannot be written; the old file is then untouched.
pub fn write_atomic(path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write(path, bytes, mode, None)
}

/// [`write_atomic`] of `value` as JSON for people and programs.
///
/// # Errors
/// As [`write_atomic`], and when `value` has something that JSON cannot say, such as a path that is not UTF-8.
pub fn write_json<T: Serialize>(path: &Path, value: &T, mode: u32) -> Result<(), FileError> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(io::Error::from).map_err(FileError::of("write", path))?;
    text.push(b'\n');
    write_atomic(path, &text, mode)
}

/// The user and group that a file belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// As [`write_atomic`], for a file of another user: it belongs to `owner` from the moment it exists.
///
/// # Errors
/// As [`write_atomic`], and when files may not be given away.
pub fn write_atomic_for(owner: Owner, path: &Path, bytes: &[u8], mode: u32) -> Result<(), FileError> {
    write(path, bytes, mode, Some(owner))
}

fn write(path: &Path, bytes: &[u8], mode: u32, owner: Option<Owner>) -> Result<(), FileError> {
    let parent = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::Builder::new()
            .prefix(UNWRITTEN)
            .permissions(fs::Permissions::from_mode(mode))
            .tempfile_in(parent)?;
        file.write_all(bytes)?;
        if let Some(Owner { uid, gid }) = owner {
            fchown(file.as_file(), Some(uid), Some(gid))?;
        }
        // The umask may have taken bits away; the mode asked for is the mode given.
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        File::open(parent)?.sync_all()
    };
    write().map_err(FileError::of("write", path))
}

/// Removes the unfinished writes of killed programs from `dir`, if it exists. To be called while no process writes there.
///
/// # Errors
/// When the directory cannot be read, or a file in it not be removed.
pub fn sweep_unwritten(dir: &Path) -> Result<(), FileError> {
    let is_unwritten = |path: &&PathBuf| {
        path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(UNWRITTEN.as_bytes()))
    };
    entries(dir)?.iter().filter(is_unwritten).try_for_each(|path| remove_if_there(path))
}

/// Replaces `to` with the finished file `from` on the same file system, durably.
///
/// # Errors
/// When either cannot be synced or renamed; `to` is then the old file or the new one.
pub fn publish(from: &Path, to: &Path) -> Result<(), FileError> {
    let parent = to.parent().unwrap_or(Path::new("."));
    let publish = || {
        File::open(from)?.sync_all()?;
        fs::rename(from, to)?;
        File::open(parent)?.sync_all()
    };
    publish().map_err(FileError::of("replace", to))
}

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
    crate::sparse::copy(&from, Range { start: 0, len: data.len() }, &to, 0)?;
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

/// Creates the file at `path`, or empties it, readable and writable by its owner only.
///
/// # Errors
/// When it cannot be created.
pub fn create_private_file(path: &Path) -> io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).mode(PRIVATE_FILE).open(path)?;
    // One that was there keeps its mode otherwise.
    file.set_permissions(fs::Permissions::from_mode(PRIVATE_FILE))?;
    Ok(file)
}

/// Creates `dir` and its parents, readable by the owner only where they are new.
///
/// # Errors
/// When a directory cannot be created.
pub fn create_private_dir(dir: &Path) -> Result<(), FileError> {
    // That of a link that leads nowhere would be "File exists".
    let present = if_present(dir, fs::metadata(dir)).map_err(FileError::of("create", dir))?;
    match present {
        Some(data) if data.is_dir() => Ok(()),
        _ => fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(FileError::of("create", dir)),
    }
}

/// A lock between processes, held until dropped or until the process ends, however it ends.
#[derive(Debug)]
pub struct FileLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl FileLock {
    /// Takes the lock at `path` (created when missing), or returns `None` when another process holds it.
    ///
    /// # Errors
    /// When the lock file cannot be opened.
    pub fn try_acquire(path: &Path) -> Result<Option<Self>, FileError> {
        Self::attempt(path, File::try_lock)
    }

    fn attempt(path: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Result<Option<Self>, FileError> {
        loop {
            let file = Self::open(path)?;
            let error = |source| FileError { action: "lock", path: path.to_owned(), source };
            match lock(&file) {
                Ok(()) if is_removed(&file, path).map_err(error)? => {}
                Ok(()) => return Ok(Some(Self(file))),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(error(source)),
            }
        }
    }

    /// Removes the lock's file at `path`, and releases it. Who waits for it takes a new one.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn remove(self, path: &Path) -> Result<(), FileError> {
        match fs::remove_file(path) {
            Err(error) if !is_absence(&error) => Err(FileError::of("remove", path)(error)),
            _ => Ok(()),
        }
    }

    /// Takes the lock at `path`, waiting for its holder; `on_wait` is called once if there is one.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub async fn acquire(path: &Path, on_wait: impl FnOnce()) -> Result<Self, FileError> {
        Self::wait(path, File::try_lock, on_wait).await
    }

    /// Takes the lock at `path` shared with others, waiting for a process that holds it exclusively; `on_wait` is called once if there
    /// is one.
    ///
    /// # Errors
    /// When the lock file cannot be opened or locked.
    pub async fn shared(path: &Path, on_wait: impl FnOnce()) -> Result<Self, FileError> {
        Self::wait(path, File::try_lock_shared, on_wait).await
    }

    async fn wait(
        path: &Path,
        lock: fn(&File) -> Result<(), TryLockError>,
        on_wait: impl FnOnce(),
    ) -> Result<Self, FileError> {
        if let Some(lock) = Self::attempt(path, lock)? {
            return Ok(lock);
        }
        on_wait();
        let mut backoff = crate::wait::Backoff::default();
        loop {
            if let Some(lock) = Self::attempt(path, lock)? {
                return Ok(lock);
            }
            backoff.pause().await;
        }
    }

    fn open(path: &Path) -> Result<File, FileError> {
        let mut options = File::options();
        options.create(true).truncate(false).read(true).write(true);
        options.open(path).map_err(FileError::of("open", path))
    }
}

/// Whether the file of a lock was removed by its last holder, so that the next command would take another one.
fn is_removed(file: &File, path: &Path) -> io::Result<bool> {
    Ok(file.metadata()?.nlink() == 0 || fs::symlink_metadata(path).is_err_and(|error| is_absence(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_that_was_removed_is_not_the_next_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().expect("it is free");
        let opened = FileLock::open(&path).unwrap();
        assert!(!is_removed(&opened, &path).unwrap());
        held.remove(&path).unwrap();
        assert!(is_removed(&opened, &path).unwrap() && !path.exists());
        opened.try_lock().unwrap();
        let next = FileLock::try_acquire(&path).unwrap().expect("it is another file");
        assert!(is_removed(&opened, &path).unwrap() && path.exists());
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop(next);
    }

    #[test]
    fn an_atomic_write_replaces_content_and_sets_the_mode() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        write_atomic(&path, b"old", PUBLIC_FILE).unwrap();
        write_atomic(&path, b"new", PRIVATE_FILE).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, PRIVATE_FILE);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_document_is_a_file_of_limited_length() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let limit = usize::try_from(DOCUMENT_LIMIT).unwrap();
        fs::write(&path, vec![b' '; limit]).unwrap();
        assert_eq!(read_document(&path).unwrap().len(), limit);
        fs::write(&path, vec![b' '; limit + 1]).unwrap();
        assert_eq!(read_document(&path).unwrap_err().to_string(), "it has more than 1048576 bytes");
        assert_eq!(read_document(Path::new("/dev/zero")).unwrap_err().to_string(), "it is not a file");
        assert_eq!(read_document(dir.path()).unwrap_err().to_string(), "it is not a file");
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(open_file(&socket).unwrap_err().to_string(), "it is not a file");
        assert_eq!(read_document(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_a_killed_write_has_left_is_swept_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let (left, kept) = (dir.path().join(".tmp-abc"), dir.path().join("record"));
        fs::write(&left, "half").unwrap();
        fs::write(&kept, "whole").unwrap();
        sweep_unwritten(dir.path()).unwrap();
        assert!(!left.exists() && kept.exists());
        sweep_unwritten(&dir.path().join("none")).unwrap();
    }

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
    fn what_json_cannot_say_is_an_error_and_no_file() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("record");
        let value = Path::new(OsStr::from_bytes(b"caf\xe9"));
        let error = write_json(&path, &value, PUBLIC_FILE).unwrap_err();
        assert!(error.source.to_string().contains("UTF-8"), "{}", error.source);
        assert!(!fs::exists(&path).unwrap());
        write_json(&path, &Path::new("caf\u{e9}"), PUBLIC_FILE).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "\"caf\u{e9}\"\n");
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

    #[test]
    fn only_an_absence_is_read_as_one() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(present(&file).unwrap());
        assert!(!present(&dir.path().join("none")).unwrap());
        assert!(!present(&file.join("below")).unwrap());
        assert_eq!(entries(&dir.path().join("none")).unwrap(), Vec::<PathBuf>::new());
        assert_eq!(entries(dir.path()).unwrap(), [file]);
        // Root may look everywhere; a link to itself leads nowhere for everybody.
        let circle = dir.path().join("circle");
        std::os::unix::fs::symlink(&circle, &circle).unwrap();
        assert_eq!(
            present(&circle).unwrap_err().to_string(),
            format!("cannot look at `{}`", circle.display())
        );
        entries(&circle).unwrap_err();
    }

    #[test]
    fn a_failed_write_names_the_path() {
        let error = write_atomic(Path::new("/no/such/dir/file"), b"", PUBLIC_FILE).unwrap_err();
        assert_eq!(error.to_string(), "cannot write `/no/such/dir/file`");
    }

    #[tokio::test]
    async fn a_lock_is_held_by_several_who_share_it_or_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let shared = async || FileLock::shared(&path, || panic!("it is not held exclusively")).await.unwrap();
        let (first, second) = (shared().await, shared().await);
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        drop((first, second));
        assert!(FileLock::try_acquire(&path).unwrap().is_some());
    }

    #[tokio::test]
    async fn a_lock_is_exclusive_until_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = FileLock::try_acquire(&path).unwrap().unwrap();
        assert!(FileLock::try_acquire(&path).unwrap().is_none());
        let mut waited = false;
        let second = FileLock::acquire(&path, || waited = true);
        let (second, ()) = tokio::join!(second, async { drop(held) });
        second.unwrap();
        assert!(waited);
    }
}
