//! A disk that was removed while its machine runs: QEMU has it open, so it is lost only when QEMU ends.

use std::fs::File;
use std::path::{Path, PathBuf};

use base::events::{Event, Reporter};
use base::files::{self, FileError, present};
use base::{blocking, sparse};
use vm::process::ProcessIdentity;
use vm::qmp::Qmp;

use super::Instance;
use super::ending::Ending;
use super::error::InstanceError;
use super::hold::{MONITOR_LIMIT, end_held};
use super::live::Live;
use super::standstill;

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
    /// When it cannot be examined.
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

    /// Copies it. Nothing may write to it meanwhile, nor until the copy is published.
    ///
    /// # Errors
    /// When the copy cannot be written. Nothing is left of it then.
    pub(super) async fn copy(&self) -> Result<DiskCopy, FileError> {
        let file = self.file.try_clone().map_err(FileError::of("open", &self.path))?;
        let copy = DiskCopy { at: self.path.with_extension("tmp-put-back"), path: self.path.clone() };
        blocking::run(move || {
            let written =
                files::create_private_file(&copy.at).and_then(|to| sparse::copy_nonzero(&file, &to));
            written.map_err(FileError::of("write", &copy.at))?;
            Ok(copy)
        })
        .await
    }
}

/// A copy that is not in its place yet, and is removed when it does not get there.
#[derive(Debug)]
pub(super) struct DiskCopy {
    at: PathBuf,
    path: PathBuf,
}

impl DiskCopy {
    /// Puts it in its place.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub(super) fn publish(self) -> Result<(), FileError> {
        files::publish(&self.at, &self.path)
    }
}

impl Drop for DiskCopy {
    fn drop(&mut self) {
        // There is none once it is published.
        let _ = std::fs::remove_file(&self.at);
    }
}

impl Instance {
    /// Ends a machine whose disk was removed, and puts the disk back before. The guest writes its files, and is not shut down: what it
    /// writes to goes with QEMU. `None` when the monitor cannot be reached.
    ///
    /// # Errors
    /// When there is no room for the disk. Then the machine keeps running, and has lost nothing.
    pub(super) async fn end_with_removed_disk(
        &self,
        live: &Live,
        process: ProcessIdentity,
        removed: &RemovedDisk,
        reporter: &dyn Reporter,
    ) -> Result<Option<Ending>, InstanceError> {
        let Ok(qmp) = Qmp::reach(&live.machine.qmp, MONITOR_LIMIT).await else { return Ok(None) };
        self.hold(&qmp, live, reporter).await?;
        match removed.copy().await {
            Ok(copy) => {
                self.put_back(copy, reporter)?;
                end_held(&qmp, process).await?;
                Ok(Some(Ending::Terminated))
            }
            Err(error) => {
                standstill::continue_machine(&qmp, live).await?;
                Err(error.into())
            }
        }
    }

    /// Puts a disk back that was removed while its machine ran, which must not run any more.
    pub(super) fn put_back(&self, copy: DiskCopy, reporter: &dyn Reporter) -> Result<(), FileError> {
        copy.publish()?;
        let text = format!("the disk of `{}` was removed while it ran, and is back", self.name());
        reporter.report(&Event::Warning(&text));
        Ok(())
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::time::Duration;

    use base::process::Cmd;
    use vm::process::{Launched, Signal};

    use super::*;

    #[tokio::test]
    async fn a_disk_removed_under_a_process_is_restored_even_after_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join("overlay.qcow2");
        std::fs::write(&disk, "rows").unwrap();
        let script =
            format!("exec 3<> {}; touch {}/open; exec sleep 600", disk.display(), dir.path().display());
        let launched =
            Launched::start(&Cmd::new("sh").args(["-c", &script]), &dir.path().join("log")).unwrap();
        let process = launched.identity();
        let open = async || dir.path().join("open").exists().then_some(());
        base::wait::until(Duration::from_secs(10), open).await.unwrap();
        assert!(RemovedDisk::of(process, &disk).unwrap().is_none());
        std::fs::remove_file(&disk).unwrap();
        let removed = RemovedDisk::of(process, &disk).unwrap().expect("it is open");

        // A copy that is not needed leaves nothing, and one that cannot be created is an error.
        drop(removed.copy().await.unwrap());
        let copy = disk.with_extension("tmp-put-back");
        assert!(!copy.exists() && !disk.exists());
        std::fs::create_dir(&copy).unwrap();
        removed.copy().await.unwrap_err();
        std::fs::remove_dir(&copy).unwrap();

        process.signal(Signal::Kill).unwrap();
        drop(launched);
        removed.copy().await.unwrap().publish().unwrap();
        assert_eq!(std::fs::read_to_string(&disk).unwrap(), "rows");
        assert!(!copy.exists());
    }
}
