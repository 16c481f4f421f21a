//! The home that the measurements happen in.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::events::{Event, Reporter, Silent};
use base::files::{FileError, create_private_dir};
use image::arch::Arch;
use instances::home::HomeExt;
use instances::instance::Instance;
use instances::instance::registry::Registry;
use instances::name::InstanceName;
use tempfile::TempDir;
use vm::home::Home;

/// Directory in the user's home for the logs of the last benchmark that failed.
const FAILED_LOGS: &str = ".failed-bench";

/// A home that borrows image and QEMU from the user's, and has instances and snapshots of its own. Whatever runs in it ends with
/// it.
pub(crate) struct BenchHome<'a> {
    home: Home,
    arch: Arch,
    failed_logs: PathBuf,
    console: &'a dyn Reporter,
    _dir: TempDir,
}

impl<'a> BenchHome<'a> {
    /// A home inside of `source`: on the same disk, which the usual place of temporary files often is not.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(source: &Home, arch: Arch, console: &'a dyn Reporter) -> Result<Self, FileError> {
        let root = source.root();
        create_private_dir(root)?;
        let dir = tempfile::Builder::new().prefix(".bench-").tempdir_in(root);
        let dir = dir.map_err(FileError::of("create a directory in", root))?;
        let home = Home::new(dir.path());
        create_private_dir(&home.images())?;
        link(&source.image(arch), &home.image(arch))?;
        link(&source.boot_files(arch), &home.boot_files(arch))?;
        link(&source.qemu(), &home.qemu())?;
        Ok(Self { home, arch, failed_logs: root.join(FAILED_LOGS), console, _dir: dir })
    }

    /// The home.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The instance that is measured.
    pub(crate) fn instance(&self) -> Instance {
        Instance::new(&self.home, InstanceName::default_for(self.arch))
    }

    /// Moves all logs to where they outlive this home, replacing those of an earlier failure. Returns none if there are none.
    pub(crate) fn keep_logs(&self) -> Option<PathBuf> {
        let instance = self.instance();
        let logs = [
            ("instance", instance.dir().logs()),
            ("failed-resume", instance.dir().failed_resume()),
            ("failed-capture", self.home.failed_capture()),
        ];
        let _ = fs::remove_dir_all(&self.failed_logs);
        fs::create_dir(&self.failed_logs).ok()?;
        let kept =
            logs.into_iter().filter(|(name, dir)| fs::rename(dir, self.failed_logs.join(name)).is_ok());
        (kept.count() > 0).then(|| self.failed_logs.clone())
    }
}

impl Drop for BenchHome<'_> {
    fn drop(&mut self) {
        if let Err(error) = end(&self.home) {
            let text = format!("a machine of the benchmark may still run: {error}");
            self.console.report(&Event::Warning(&text));
        }
    }
}

/// Ends all machines of `home`. A drop cannot wait inside of the runtime that it happens in, so this has one of its own.
fn end(home: &Home) -> io::Result<()> {
    let end = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        for name in Registry::new(home).names().map_err(io::Error::other)? {
            runtime.block_on(Instance::new(home, name).reset(&Silent)).map_err(io::Error::other)?;
        }
        Ok(())
    };
    let ended = std::thread::scope(|scope| scope.spawn(end).join());
    ended.unwrap_or_else(|_| Err(io::Error::other("ending it has panicked")))
}

fn link(from: &Path, to: &Path) -> Result<(), FileError> {
    symlink(from, to).map_err(FileError::of("create", to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_and_qemu_are_the_users_and_everything_else_goes_with_the_home() {
        let root = tempfile::tempdir().unwrap();
        let user = Home::new(root.path());
        fs::create_dir_all(user.boot_files(Arch::Amd64)).unwrap();
        fs::create_dir(user.qemu()).unwrap();
        fs::write(user.image(Arch::Amd64), "image").unwrap();
        let bench = BenchHome::new(&user, Arch::Amd64, &Silent).unwrap();
        let home = bench.home().clone();
        assert_eq!(bench.keep_logs(), None);
        fs::create_dir_all(home.failed_capture()).unwrap();
        fs::write(home.failed_capture().join("qemu.log"), "said").unwrap();
        assert_eq!(fs::read_to_string(home.image(Arch::Amd64)).unwrap(), "image");
        fs::create_dir_all(home.snapshots().join("one")).unwrap();
        let logs = bench.keep_logs().unwrap();
        drop(bench);
        assert_eq!(fs::read_to_string(logs.join("failed-capture/qemu.log")).unwrap(), "said");
        assert!(!home.root().exists());
        assert!(user.image(Arch::Amd64).exists() && !user.snapshots().exists());
    }
}
