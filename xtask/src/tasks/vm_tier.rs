//! The tests that boot virtual machines: what they need, and how they are run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use host::console::Console;
use release::arch::Arch;
use vm::home::Home;

use super::cargo::{cargo_with_env, emulator_binary};
use super::{build_image, build_qemu};

/// What the tests and the benchmark run.
pub(crate) struct VmTier {
    home: Home,
    emulator: PathBuf,
}

impl VmTier {
    /// Builds or finds QEMU, the image and the program.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) async fn prepare(arch: Arch, console: &Console) -> anyhow::Result<Self> {
        let home = Home::from_env().context("there is no home directory: set `STACK_EMULATOR_HOME`")?;
        build_qemu::ensure(&home, console).await?;
        build_image::ensure(&home, arch, console).await?;
        Ok(Self { home, emulator: emulator_binary().await? })
    }

    /// The home with image and QEMU.
    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The built program.
    pub(crate) fn emulator(&self) -> &Path {
        &self.emulator
    }

    /// Runs the tests whose names contain one of `names`; all of them when there is none.
    ///
    /// # Errors
    /// When one fails.
    pub(crate) async fn run(&self, names: &[&str]) -> anyhow::Result<()> {
        let nextest = ["nextest", "run", "--package", "vm-tests", "--profile", "vm"];
        let env: [(&str, OsString); 3] = [
            ("VM_TESTS_EMULATOR", self.emulator.clone().into()),
            ("VM_TESTS_HOME", self.home.root().into()),
            ("VM_TESTS_XTASK", std::env::current_exe().context("this program has no path")?.into()),
        ];
        cargo_with_env(nextest.into_iter().chain(names.iter().copied()), env).await
    }
}
