//! `cargo xtask soak`: many cycles of use and misuse of one machine.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use base::console::Console;
use clap::Args;
use image::arch::Arch;

use super::arguments::absolute_path;
use super::vm_tier::VmTier;
use crate::packages::{self, Feature};

/// Kill, suspend and starve one machine again and again, and check after each time that nothing is lost or left over
///
/// It ends at the first loss, and says where its logs are. It needs root, for a small disk.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask soak
  cargo xtask soak --cycles 100 --seed 7")]
pub(crate) struct Soak {
    /// How often
    #[arg(long, value_name = "N", default_value = "1000")]
    cycles: NonZeroUsize,

    /// Seed of the cycles [default: another one each time, which is printed]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// File for every figure as JSON
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    json: Option<PathBuf>,
}

/// The part of the VM tests' names that marks the soak.
const SOAK_TEST: &str = "soak::kills";

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
