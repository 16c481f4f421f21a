//! `cargo xtask smoke`: proves an image through the built program.

use crate::packages::{self, Feature};
use base::console::Console;

use super::vm_tier::VmTier;
use crate::flags::Smoke;

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
