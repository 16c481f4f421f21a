//! The tests that boot virtual machines: what they need, and how they are run.

use std::ffi::OsString;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use base::console::Console;
use base::files;
use image::arch::Arch;
use tempfile::TempDir;
use vm::home::Home;

use super::cargo::{cargo_with_env, emulator_binary, xtask_binary};
use super::{build_image, build_qemu};

/// What the names of tests that run machines for 64-bit Arm begin with.
const ARM64_TESTS: &str = "arm64::";

/// What the tests and the benchmark run.
pub(crate) struct VmTier {
    home: Home,
    emulator: PathBuf,
    /// The home, where it was made for one image.
    _made: Option<TempDir>,
}

impl VmTier {
    /// Builds or finds QEMU, the images for `arches` and the program.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) async fn prepare(arches: &[Arch], console: &Console) -> anyhow::Result<Self> {
        let home = Home::from_env().context("there is no home to work in")?;
        build_qemu::ensure(&home, arches, console).await?;
        for arch in arches {
            build_image::ensure(&home, *arch, console).await?;
        }
        Ok(Self { home, emulator: emulator_binary().await?, _made: None })
    }

    /// Builds or finds QEMU, one image and the program. With `image`, that very file is taken, whatever the checkout would build.
    ///
    /// # Errors
    /// When one of them cannot be had.
    pub(crate) async fn for_one(arch: Arch, image: Option<&Path>, console: &Console) -> anyhow::Result<Self> {
        let Some(image) = image else { return Self::prepare(&[arch], console).await };
        let home = Home::from_env().context("there is no home to work in")?;
        build_qemu::ensure(&home, &[arch], console).await?;
        let made = home_around(image, arch, &home)?;
        Ok(Self { home: Home::new(made.path()), emulator: emulator_binary().await?, _made: Some(made) })
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
        self.run_with(arches, names, &[], []).await
    }

    /// The same with more arguments of nextest's and more environment variables.
    ///
    /// # Errors
    /// When one fails.
    pub(crate) async fn run_with(
        &self,
        arches: &[Arch],
        names: &[&str],
        more: &[&str],
        env: impl IntoIterator<Item = (&'static str, OsString)>,
    ) -> anyhow::Result<()> {
        let nextest = ["nextest", "run", "--workspace", "--test", "vm", "--profile", "vm", "--filterset"];
        let filter = filter(arches, names);
        let tier: [(&str, OsString); 3] = [
            ("VM_TESTS_EMULATOR", self.emulator.clone().into()),
            ("VM_TESTS_HOME", self.home.root().into()),
            ("VM_TESTS_XTASK", xtask_binary().await?.into()),
        ];
        let args = nextest.into_iter().chain([filter.as_str()]).chain(more.iter().copied());
        let env: Vec<(&str, OsString)> = tier.into_iter().chain(env).collect();
        cargo_with_env(args, env).await
    }
}

/// A home with this image, and the QEMU of `source`.
///
/// # Errors
/// When there is no such image, or no home can be made.
pub(crate) fn home_around(image: &Path, arch: Arch, source: &Home) -> anyhow::Result<TempDir> {
    anyhow::ensure!(image.is_file(), "there is no image `{}`", image.display());
    let cache = base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
    files::create_private_dir(&cache)?;
    let made = tempfile::Builder::new().prefix("home-").tempdir_in(&cache)?;
    let home = Home::new(made.path());
    std::fs::create_dir(home.images())?;
    symlink(image, home.image(arch))?;
    symlink(source.qemu(), home.qemu())?;
    Ok(made)
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
