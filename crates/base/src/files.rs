//! Files that survive a crash at any moment: atomic replacement, private directories, locks between processes.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::dangling::if_present;

mod lock;
mod tree;

pub use lock::FileLock;
pub use tree::{move_dir, publish_tree};

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
        Err(error) if is_absence(&error) => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
