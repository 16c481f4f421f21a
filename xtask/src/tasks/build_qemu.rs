//! `cargo xtask build-qemu`: the pinned QEMU from source.

use std::io::Write as _;

use anyhow::Context as _;
use host::console::Console;
use host::events::Reporter;
use host::packages::{self, Feature};
use qemu_build::{Key, Request};
use vm::home::Home;

use crate::flags::BuildQemu;

/// Has the pinned QEMU in `home`, building it unless it is there.
///
/// # Errors
/// When it cannot be built.
pub(crate) async fn ensure(home: &Home, reporter: &dyn Reporter) -> anyhow::Result<()> {
    packages::ensure(&[Feature::BuildQemu], reporter).await?;
    let cache = host::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
    let request = Request { prefix_root: home.qemu(), cache, source: None, force: false, jobs: None };
    qemu_build::build(&request, reporter).await?;
    Ok(())
}

impl BuildQemu {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        if self.print_cache_key {
            writeln!(std::io::stdout(), "{}", Key::of_this_host().await.as_str())?;
            return Ok(());
        }
        let prefix_root = match self.prefix_root {
            Some(root) => root,
            None => Home::from_env().context("there is no home directory: set `STACK_EMULATOR_HOME`")?.qemu(),
        };
        let cache = host::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")?;
        let request = Request { prefix_root, cache, source: self.source, force: self.force, jobs: self.jobs };
        let existing = if request.force { None } else { qemu_build::existing(&request.prefix_root).await? };
        let built = match existing {
            Some(built) => built,
            None => {
                packages::ensure(&[Feature::BuildQemu], console).await?;
                qemu_build::build(&request, console).await?
            }
        };
        let state = if built.fresh { "built" } else { "is there already" };
        console.line(&format!("QEMU {} {state}: `{}`", built.key, built.prefix.display()));
        Ok(())
    }
}
