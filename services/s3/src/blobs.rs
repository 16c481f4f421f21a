//! Files with the content of objects that are too large for a row. Their names are random and say nothing about keys.
//!
//! A file is complete and on the disk, with its name, before a row names it, and it is removed after the row has gone. A crash in
//! between leaves a file without a row, which the next start removes.

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::SystemTime,
};

use tokio::task::{JoinError, spawn_blocking};
use tracing::warn;
use uuid::Uuid;

/// The directory of all files.
#[derive(Debug, Clone)]
pub(crate) struct Blobs(Arc<PathBuf>);

/// A file that no row names yet: it is removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Unclaimed {
    blobs: Blobs,
    files: Vec<Uuid>,
}

impl Unclaimed {
    /// The names of the files.
    pub(crate) fn files(&self) -> &[Uuid] {
        &self.files
    }

    /// Leaves the files: a row names them.
    pub(crate) fn keep(mut self) {
        self.files.clear();
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        self.blobs.remove_now(&self.files);
    }
}

impl Blobs {
    /// Uses `directory`, and creates it if it is not there.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self(Arc::new(directory.to_owned())))
    }

    /// Where a file is.
    pub(crate) fn path(&self, file: Uuid) -> PathBuf {
        self.0.join(file.simple().to_string())
    }

    /// Creates a file.
    pub(crate) fn create(&self) -> io::Result<(Uuid, File)> {
        let name = Uuid::new_v4();
        Ok((name, File::create_new(self.path(name))?))
    }

    /// Files that nothing names yet.
    pub(crate) fn unclaimed(&self, files: Vec<Uuid>) -> Unclaimed {
        Unclaimed { blobs: self.clone(), files }
    }

    /// Makes sure that the names of new files are on the disk.
    pub(crate) fn sync_names(&self) -> io::Result<()> {
        File::open(&*self.0)?.sync_all()
    }

    /// Gives files a second name each: a copy that costs nothing.
    pub(crate) async fn link(&self, files: Vec<Uuid>) -> io::Result<Unclaimed> {
        let blobs = self.clone();
        blocking(move || {
            let mut linked = blobs.unclaimed(Vec::new());
            for file in files {
                let name = Uuid::new_v4();
                fs::hard_link(blobs.path(file), blobs.path(name))?;
                linked.files.push(name);
            }
            blobs.sync_names()?;
            Ok(linked)
        })
        .await
    }

    /// Creates a file without content.
    pub(crate) async fn empty(&self) -> io::Result<Unclaimed> {
        let blobs = self.clone();
        blocking(move || {
            let (name, file) = blobs.create()?;
            let unclaimed = blobs.unclaimed(vec![name]);
            file.sync_all()?;
            blobs.sync_names()?;
            Ok(unclaimed)
        })
        .await
    }

    /// Removes files that no row names any more, without being waited for.
    pub(crate) fn remove(&self, files: Vec<Uuid>) {
        if !files.is_empty() {
            let blobs = self.clone();
            spawn_blocking(move || blobs.remove_now(&files));
        }
    }

    fn remove_now(&self, files: &[Uuid]) {
        for file in files {
            if let Err(error) = fs::remove_file(self.path(*file)) {
                warn!("the file `{file}` cannot be removed: {error}");
            }
        }
    }

    /// The files that are older than `start`: those of the process before this one.
    pub(crate) async fn older_than(&self, start: SystemTime) -> io::Result<Vec<Uuid>> {
        let blobs = self.clone();
        blocking(move || {
            let mut found = Vec::new();
            for entry in fs::read_dir(&*blobs.0)? {
                let entry = entry?;
                let name = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if let Some(name) = name
                    && entry.metadata()?.modified()? < start
                {
                    found.push(name);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Removes those of `found` that are not in `named`, and returns their number.
    pub(crate) fn sweep(&self, found: Vec<Uuid>, named: &HashSet<Uuid>) -> usize {
        let stale: Vec<_> = found.into_iter().filter(|file| !named.contains(file)).collect();
        let count = stale.len();
        self.remove(stale);
        count
    }

    /// Verifies that files can be written.
    pub(crate) fn check(&self) -> io::Result<()> {
        let flags = rustix::fs::statvfs(&*self.0)?.f_flag;
        if flags.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
            return Err(io::ErrorKind::ReadOnlyFilesystem.into());
        }
        Ok(())
    }
}

/// Runs what waits for the disk on a thread of its own.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(work).await.map_err(|error: JoinError| io::Error::other(error))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_files_that_nothing_names_are_swept() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let (named, _) = blobs.create().unwrap();
        let (stale, _) = blobs.create().unwrap();
        let later = SystemTime::now() + std::time::Duration::from_mins(1);
        assert!(blobs.older_than(SystemTime::UNIX_EPOCH).await.unwrap().is_empty());
        let found = blobs.older_than(later).await.unwrap();
        assert_eq!(blobs.sweep(found, &HashSet::from([named])), 1);
        base::wait::until(std::time::Duration::from_secs(5), async || {
            (!blobs.path(stale).exists()).then_some(())
        })
        .await
        .expect("the stale file goes");
        assert!(blobs.path(named).exists());
    }

    #[tokio::test]
    async fn a_copy_stays_when_its_source_goes() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let (source, _) = blobs.create().unwrap();
        fs::write(blobs.path(source), b"content").unwrap();
        let copy = blobs.link(vec![source]).await.unwrap();
        let name = copy.files()[0];
        copy.keep();
        drop(blobs.unclaimed(vec![source]));
        assert!(!blobs.path(source).exists());
        assert_eq!(fs::read(blobs.path(name)).unwrap(), b"content");
    }
}
