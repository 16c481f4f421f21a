//! `cargo xtask fuzz-api`: the test of the same name for longer.

use std::ffi::OsString;

use crate::packages::{self, Feature};
use base::console::Console;
use image::arch::Arch;

use super::vm_tier::VmTier;
use crate::flags::FuzzApi;

/// The part of the VM tests' names that marks it.
const FUZZ_TEST: &str = "fuzzing_the_api";

/// What the test reads.
const SECONDS_VARIABLE: &str = "VM_TESTS_FUZZ_SECONDS";
const SEED_VARIABLE: &str = "VM_TESTS_FUZZ_SEED";

impl FuzzApi {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::VmTest], console).await?;
        let seed = self.seed.map(|seed| (SEED_VARIABLE, seed.to_string().into()));
        let seconds: (&str, OsString) =
            (SECONDS_VARIABLE, (self.minutes.saturating_mul(60)).to_string().into());
        let tier = VmTier::prepare(&[Arch::Amd64], console).await?;
        // What it has sent is shown also where nothing is wrong.
        let env = [seconds].into_iter().chain(seed);
        tier.run_with(&[Arch::Amd64], &[FUZZ_TEST], &["--no-capture"], env).await
    }
}
