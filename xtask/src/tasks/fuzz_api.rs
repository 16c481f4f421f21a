//! `cargo xtask fuzz-api`: the test of the same name for longer.

use std::ffi::OsString;

use base::console::Console;
use clap::Args;
use image::arch::Arch;

use super::vm_tier::VmTier;
use crate::packages::{self, Feature};

/// Send random and concurrent requests to a machine's API and dashboard
///
/// `test` does so for 20 seconds. A failure names the requests whose answers are never allowed, and the seed that repeats them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz-api
  cargo xtask fuzz-api --minutes 60 --seed 42")]
pub(crate) struct FuzzApi {
    /// How long
    #[arg(long, value_name = "N", default_value_t = 10)]
    minutes: u64,

    /// Seed of the requests [default: a random one]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
}

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
