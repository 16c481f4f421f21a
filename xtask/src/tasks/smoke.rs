//! `cargo xtask smoke`: verifies an image through the built program.

use std::path::PathBuf;

use base::console::Console;
use clap::Args;
use image::arch::Arch;

use super::arguments::absolute_path;
use super::vm_tier::VmTier;
use crate::packages::{self, Feature};

/// Verify an image through the built `emulator`: start, status, HTTP checks, sign-in, keys, stop, nothing left running
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask smoke amd64
  cargo xtask smoke arm64
  cargo xtask smoke amd64 --image stack-emulator-amd64.qcow2")]
pub(crate) struct Smoke {
    /// Architecture of the image; it is built when it is missing
    arch: Arch,

    /// Image to verify instead of the one that this checkout builds
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    image: Option<PathBuf>,
}

/// The part of the VM tests' names that marks the smoke test.
const SMOKE_TEST: &str = "smoke_the_image";

impl Smoke {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::Smoke], console).await?;
        let arches = [self.arch];
        let tier = VmTier::for_one(self.arch, self.image.as_deref(), console).await?;
        tier.run(&arches, &[SMOKE_TEST]).await
    }
}
