//! `cargo xtask build-qemu`: the pinned QEMU from source.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::Context as _;
use base::console::Console;
use base::events::{Event, Reporter};
use clap::Args;
use image::arch::Arch;
use qemu_build::{BuildError, Built, Key, Request};
use vm::home::Home;

use super::arguments::absolute_path;
use crate::host_qemu;
use crate::packages::{self, Feature};

/// Build the pinned QEMU from source, into a prefix of its own
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build-qemu
  cargo xtask build-qemu --source ~/Downloads/qemu-10.2.2.tar.xz
  cargo xtask build-qemu --print-cache-key")]
pub(crate) struct BuildQemu {
    /// Use this tarball instead of fetching one; it must be one of the pinned ones
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    source: Option<PathBuf>,

    /// Build from the beginning, even if there is a working result or an unfinished build
    #[arg(long)]
    force: bool,

    /// Print the key of the result for this host, for CI caches, and do nothing else
    #[arg(long, conflicts_with_all = ["source", "force", "jobs", "prefix_root"])]
    print_cache_key: bool,

    /// Compilers that run at once [default: one a processor]
    #[arg(long, short, value_name = "N")]
    jobs: Option<NonZeroUsize>,

    /// Directory that the prefix is made in [default: `qemu` in the emulator's home]
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    prefix_root: Option<PathBuf>,
}

/// Has a QEMU that works: the pinned one in `home`, built unless it is there; or, when no source of it can be had, the host's
/// own, for machines of `arches`.
///
/// # Errors
/// When there is neither.
pub(crate) async fn ensure(home: &Home, arches: &[Arch], reporter: &dyn Reporter) -> anyhow::Result<()> {
    let request =
        Request { prefix_root: home.qemu(), cache: cache()?, source: None, force: false, jobs: None };
    let Err(error) = build(&request, reporter).await else { return Ok(()) };
    if !matches!(error.downcast_ref(), Some(BuildError::NoSource { .. })) {
        return Err(error);
    }
    reporter.report(&Event::Warning(&error.to_string()));
    host_qemu::ensure(arches, reporter).await?;
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
            None => Home::from_env().context("there is no home to work in")?.qemu(),
        };
        let request =
            Request { prefix_root, cache: cache()?, source: self.source, force: self.force, jobs: self.jobs };
        let built = build(&request, console).await?;
        let state = if built.fresh { "built" } else { "is there already" };
        console.report(&Event::Notice(&format!("QEMU {} {state}: `{}`", built.key, built.prefix.display())));
        Ok(())
    }
}

/// Prepares the host only when something is to be built.
async fn build(request: &Request, reporter: &dyn Reporter) -> anyhow::Result<Built> {
    if !request.force
        && let Some(built) = qemu_build::existing(&request.prefix_root).await?
    {
        return Ok(built);
    }
    packages::ensure(&[Feature::BuildQemu], reporter).await?;
    Ok(qemu_build::build(request, reporter).await?)
}

fn cache() -> anyhow::Result<PathBuf> {
    base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")
}
