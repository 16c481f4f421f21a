//! `cargo xtask soak`: many cycles of use and misuse of one machine.

use crate::packages::{self, Feature};
use base::console::Console;
use image::arch::Arch;

use super::vm_tier::VmTier;
use crate::flags::Soak;

/// The part of the VM tests' names that marks the soak.
const SOAK_TEST: &str = "soak::many";

/// Variables that the test reads.
const CYCLES: &str = "VM_TESTS_SOAK_CYCLES";
const SEED: &str = "VM_TESTS_SOAK_SEED";
const JSON: &str = "VM_TESTS_SOAK_JSON";

impl Soak {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::VmTest], console).await?;
        let arches = [Arch::Amd64];
        let tier = VmTier::prepare(&arches, console).await?;
        let seed = self.seed.map(|seed| (SEED, seed.to_string().into()));
        let json = self.json.map(|path| (JSON, path.into_os_string()));
        let env = [(CYCLES, self.cycles.to_string().into())].into_iter().chain(seed).chain(json);
        // Its lines are shown as they come: it may take hours.
        tier.run_with(&arches, &[SOAK_TEST], &["--no-capture"], env).await
    }
}
