//! ext4 file systems inside image files: reading files out of them without mounting, checking and growing.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use base::process::{Cmd, ProcessError};
use ext4_view::{Ext4, Ext4Error, Ext4Read};

/// Label of the root file system and name of its partition; the guest's initial RAM file system finds it by this.
pub const ROOT_LABEL: &str = "stack-root";

/// Options of `mke2fs -E` for file systems that live in sparse files: everything is initialised at once, because the
/// kernel would otherwise write zeros through the block layer on the first boots.
pub const SPARSE_OPTIONS: &str = "lazy_itable_init=0,lazy_journal_init=0,nodiscard";

/// Why a file could not be read out of a file system.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The image file cannot be opened.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// The image file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The file system, or a file in it, cannot be read.
    #[error("cannot read `{inside}` in the file system of `{}`", path.display())]
    Read {
        /// The image file.
        path: PathBuf,
        /// Absolute path inside the file system.
        inside: String,
        /// What is wrong.
        #[source]
        source: Ext4Error,
    },
    /// The directory has no file of the wanted kind.
    #[error("there is no `{prefix}*` in `{dir}` of the file system in `{}`", path.display())]
    Missing {
        /// The image file.
        path: PathBuf,
        /// Directory inside the file system.
        dir: String,
        /// Start of the wanted name.
        prefix: String,
    },
}

/// A file system that begins at an offset of an image file, opened for reading.
pub struct Reader {
    path: PathBuf,
    fs: Ext4,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("path", &self.path).finish_non_exhaustive()
    }
}

struct Window {
    file: File,
    offset: u64,
}

impl Ext4Read for Window {
    fn read(
        &mut self,
        start: u64,
        into: &mut [u8],
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync + 'static>> {
        Ok(self.file.read_exact_at(into, self.offset + start)?)
    }
}

impl Reader {
    /// Opens the file system that begins `offset` bytes into the file at `path`.
    ///
    /// # Errors
    /// When the file cannot be opened or has no ext4 there.
    pub fn open(path: &Path, offset: u64) -> Result<Self, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Open { path: path.to_owned(), source })?;
        let fs = Ext4::load(Box::new(Window { file, offset })).map_err(|source| ReadError::Read {
            path: path.to_owned(),
            inside: "/".to_owned(),
            source,
        })?;
        Ok(Self { path: path.to_owned(), fs })
    }

    /// Reads the whole content of a file; symbolic links are followed.
    ///
    /// # Errors
    /// When there is no such file or it cannot be read.
    pub fn read(&self, inside: &str) -> Result<Vec<u8>, ReadError> {
        self.fs.read(inside).map_err(|source| self.error(inside, source))
    }

    /// Names in a directory that start with `prefix`, sorted.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn names(&self, dir: &str, prefix: &str) -> Result<Vec<String>, ReadError> {
        let mut names = Vec::new();
        for entry in self.fs.read_dir(dir).map_err(|source| self.error(dir, source))? {
            let entry = entry.map_err(|source| self.error(dir, source))?;
            let name = entry.file_name().display().to_string();
            if name.starts_with(prefix) && name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Path of the last file in `dir`, by name, that starts with `prefix`.
    ///
    /// # Errors
    /// When there is none.
    pub fn last(&self, dir: &str, prefix: &str) -> Result<String, ReadError> {
        match self.names(dir, prefix)?.pop() {
            Some(name) => Ok(format!("{}/{name}", dir.trim_end_matches('/'))),
            None => Err(ReadError::Missing {
                path: self.path.clone(),
                dir: dir.to_owned(),
                prefix: prefix.to_owned(),
            }),
        }
    }

    fn error(&self, inside: &str, source: Ext4Error) -> ReadError {
        ReadError::Read { path: self.path.clone(), inside: inside.to_owned(), source }
    }
}

/// Names a file system inside a file as the tools of e2fsprogs do.
fn at_offset(path: &Path, offset: u64) -> std::ffi::OsString {
    let mut name = path.as_os_str().to_owned();
    if offset > 0 {
        name.push(format!("?offset={offset}"));
    }
    name
}

/// Checks a file system without changing it.
///
/// # Errors
/// When it is not clean; the error carries what `e2fsck` found.
pub async fn check(path: &Path, offset: u64) -> Result<(), ProcessError> {
    Cmd::new("e2fsck").arg("-fn").arg(at_offset(path, offset)).output().await.map(drop)
}

/// Grows the file system in a file of its own to `bytes`, and gives it the label by which the guest finds it.
///
/// # Errors
/// When the file cannot be extended or a tool fails.
pub async fn grow(path: &Path, bytes: u64) -> Result<(), GrowError> {
    File::options()
        .write(true)
        .open(path)
        .and_then(|file| file.set_len(bytes))
        .map_err(|source| GrowError::Extend { path: path.to_owned(), source })?;
    check(path, 0).await?;
    // `-f`: otherwise it relies on the time of the last repairing check, which ours does not set.
    Cmd::new("resize2fs").arg("-f").arg(path).output().await?;
    Cmd::new("e2label").arg(path).arg(ROOT_LABEL).output().await?;
    Ok(())
}

/// Why a file system could not be grown.
#[derive(Debug, thiserror::Error)]
pub enum GrowError {
    /// The file itself cannot be made longer.
    #[error("cannot extend `{}`", path.display())]
    Extend {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// A tool failed.
    #[error(transparent)]
    Tool(#[from] ProcessError),
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A small file system with the given files, `offset` bytes into a file.
    pub(crate) async fn file_system(path: &Path, offset: u64, files: &[(&str, &[u8])]) {
        let tree = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            let file = tree.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
        let options = format!("{SPARSE_OPTIONS},offset={offset}");
        let mke2fs = Cmd::new("mke2fs").args(["-q", "-t", "ext4", "-E", &options, "-d"]).arg(tree.path());
        mke2fs.arg(path).arg("16M").output().await.unwrap();
    }

    #[tokio::test]
    async fn files_are_read_out_of_a_file_system_at_an_offset() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let files: &[(&str, &[u8])] =
            &[("boot/vmlinuz-6.1", b"old"), ("boot/vmlinuz-6.2", b"new"), ("boot/config", b"")];
        file_system(&path, 1 << 20, files).await;

        let reader = Reader::open(&path, 1 << 20).unwrap();
        let kernel = reader.last("/boot", "vmlinuz-").unwrap();
        assert_eq!(kernel, "/boot/vmlinuz-6.2");
        assert_eq!(reader.read(&kernel).unwrap(), b"new");
        check(&path, 1 << 20).await.unwrap();
    }

    #[tokio::test]
    async fn what_is_missing_is_named_with_the_image() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        file_system(&path, 0, &[("boot/config", b"")]).await;
        let reader = Reader::open(&path, 0).unwrap();
        let missing = reader.last("/boot", "vmlinuz-").unwrap_err().to_string();
        assert_eq!(
            missing,
            format!("there is no `vmlinuz-*` in `/boot` of the file system in `{}`", path.display())
        );
        let unread = reader.read("/etc/none").unwrap_err().to_string();
        assert_eq!(unread, format!("cannot read `/etc/none` in the file system of `{}`", path.display()));
    }

    #[tokio::test]
    async fn a_file_system_grows_to_the_size_of_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("root");
        file_system(&path, 0, &[("hello", b"world")]).await;
        grow(&path, 64 << 20).await.unwrap();
        check(&path, 0).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 64 << 20);
        let reader = Reader::open(&path, 0).unwrap();
        assert_eq!(reader.read("/hello").unwrap(), b"world");
        assert_eq!(reader.fs.label().to_str(), Ok(ROOT_LABEL));
    }
}
