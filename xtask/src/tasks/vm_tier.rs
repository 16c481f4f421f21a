//! The tests that boot virtual machines: what they need, and how they are run.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use host::console::Console;
use release::arch::Arch;
use vm::home::Home;

use super::cargo::{cargo_with_env, emulator_binary};
use super::{build_image, build_qemu};

/// What the names of tests that run machines for 64-bit Arm begin with.
const ARM64_TESTS: &str = "arm64::";

/// What the tests and the benchmark run.
pub(crate) struct VmTier {
    home: Home,
    emulator: PathBuf,
}

impl VmTier {
    /// Builds or finds QEMU, the images for `arches` and the program.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) async fn prepare(arches: &[Arch], console: &Console) -> anyhow::Result<Self> {
        let home = Home::from_env().context("there is no home directory: set `STACK_EMULATOR_HOME`")?;
        build_qemu::ensure(&home, console).await?;
        for arch in arches {
            build_image::ensure(&home, *arch, console).await?;
        }
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

    /// Runs the tests of `arches` whose names contain one of `names`; all of them when there is none.
    ///
    /// # Errors
    /// When one fails.
    pub(crate) async fn run(&self, arches: &[Arch], names: &[&str]) -> anyhow::Result<()> {
        let nextest = ["nextest", "run", "--package", "vm-tests", "--profile", "vm", "--filterset"];
        let filter = filter(arches, names);
        let env: [(&str, OsString); 3] = [
            ("VM_TESTS_EMULATOR", self.emulator.clone().into()),
            ("VM_TESTS_HOME", self.home.root().into()),
            ("VM_TESTS_XTASK", std::env::current_exe().context("this program has no path")?.into()),
        ];
        cargo_with_env(nextest.into_iter().chain([filter.as_str()]), env).await
    }
}

/// The images that the tests of `arches` start: in one of [`ARM64_TESTS`] both architectures run.
pub(crate) fn images_for(arches: &[Arch]) -> Vec<Arch> {
    Arch::ALL.into_iter().filter(|arch| *arch == Arch::Amd64 || arches.contains(arch)).collect()
}

/// nextest's expression for the tests of `arches` whose names contain one of `names`.
fn filter(arches: &[Arch], names: &[&str]) -> String {
    let of = |arch: &Arch| match arch {
        Arch::Amd64 => format!("not test(/^{ARM64_TESTS}/)"),
        Arch::Arm64 => format!("test(/^{ARM64_TESTS}/)"),
    };
    let any = |terms: Vec<String>| format!("({})", terms.join(" or "));
    let tests = any(arches.iter().map(of).collect());
    if names.is_empty() {
        return tests;
    }
    format!("{tests} and {}", any(names.iter().map(|name| format!("test({name})")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_chosen_by_architecture_and_name() {
        assert_eq!(filter(&[Arch::Amd64], &[]), "(not test(/^arm64::/))");
        assert_eq!(
            filter(&Arch::ALL, &["kill", "clock"]),
            "(not test(/^arm64::/) or test(/^arm64::/)) and (test(kill) or test(clock))"
        );
        assert_eq!(images_for(&[Arch::Arm64]), Arch::ALL);
    }
}
