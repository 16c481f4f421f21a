//! A disk that was removed while its machine runs: QEMU has it open, so that it is lost only when QEMU ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use host::files::{self, FileError, present};
use host::{blocking, sparse};

use crate::process::ProcessIdentity;

/// A disk without a name, kept alive by this value.
#[derive(Debug)]
pub(super) struct RemovedDisk {
    file: File,
    path: PathBuf,
}

impl RemovedDisk {
    /// The disk that was at `path`, which `process` still has open; `None` when it is in its place, or open nowhere.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub(super) fn of(process: ProcessIdentity, path: &Path) -> Result<Option<Self>, FileError> {
        if present(path)? {
            return Ok(None);
        }
        // Elsewhere than on Linux there is no such directory, and no other way.
        let Ok(open) = std::fs::read_dir(format!("/proc/{}/fd", process.pid)) else { return Ok(None) };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(" (deleted)");
        let removed = |link: &PathBuf| {
            std::fs::read_link(link).is_ok_and(|target| target.file_name() == Some(name.as_os_str()))
        };
        let Some(link) = open.filter_map(Result::ok).map(|entry| entry.path()).find(removed) else {
            return Ok(None);
        };
        let file = File::open(&link).map_err(FileError::of("open", &link))?;
        Ok(Some(Self { file, path: path.to_owned() }))
    }

    /// Puts a copy in its place. Nobody may write to it meanwhile.
    ///
    /// # Errors
    /// When the copy cannot be written.
    pub(super) async fn put_back(self) -> Result<(), FileError> {
        blocking::run(move || {
            let Self { file, path } = self;
            let copy = path.with_extension("tmp-put-back");
            let written = files::create_private_file(&copy).and_then(|to| sparse::copy_nonzero(&file, &to));
            written.map_err(FileError::of("write", &copy))?;
            files::publish(&copy, &path)
        })
        .await
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::Duration;

    use host::process::Cmd;

    use super::*;
    use crate::process::{Launched, Signal};

    #[tokio::test]
    async fn a_disk_that_was_removed_under_a_process_is_put_back_even_when_that_has_ended() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("overlay.qcow2");
        std::fs::write(&disk, "rows").unwrap();
        let script =
            format!("exec 3<> {}; touch {}/open; exec sleep 600", disk.display(), dir.path().display());
        let launched =
            Launched::start(&Cmd::new("sh").args(["-c", &script]), &dir.path().join("log")).unwrap();
        let process = launched.identity();
        let open = async || dir.path().join("open").exists().then_some(());
        host::wait::until(Duration::from_secs(10), open).await.unwrap();
        assert!(RemovedDisk::of(process, &disk).unwrap().is_none());
        std::fs::remove_file(&disk).unwrap();
        let removed = RemovedDisk::of(process, &disk).unwrap().expect("it is open");
        process.signal(Signal::Kill).unwrap();
        drop(launched);
        removed.put_back().await.unwrap();
        assert_eq!(std::fs::read_to_string(&disk).unwrap(), "rows");
    }
}
