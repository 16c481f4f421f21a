//! `cargo xtask setup`: what this host lacks.

use std::io::Write as _;

use anyhow::anyhow;
use base::console::Console;
use clap::{Args, ValueEnum};

use super::clients;
use super::kvm;
use crate::packages::{self, Feature};

/// Install what this host lacks for building and testing; every other task does its part of this by itself
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask setup
  cargo xtask setup --check
  cargo xtask setup --for build-qemu --for test
  cargo xtask setup --kvm")]
pub(crate) struct Setup {
    /// Only print what is missing, and fail if anything is
    #[arg(long)]
    check: bool,

    /// Look at this part of the work only; may be given more than once
    #[arg(long = "for", value_name = "FEATURE", value_enum, default_value = "all")]
    features: Vec<SetupFeature>,

    /// Let every user of this host open `/dev/kvm`, permanently, by a udev rule; for CI runners
    #[arg(long, conflicts_with = "check")]
    kvm: bool,
}

/// A part of the work that needs something from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SetupFeature {
    /// Compile QEMU
    BuildQemu,
    /// Make the base of an image from Debian's archive
    Bootstrap,
    /// Make an image from a base
    Provision,
    /// Copy container images from Docker's daemon and from registries
    ContainerImages,
    /// Run the checks, and the tests without virtual machines
    Test,
    /// Run the tests that boot virtual machines
    VmTest,
    /// Verify an image
    Smoke,
    /// Measure a stack beside its programs without a machine
    StackBench,
    /// Build the program for other machines than this
    Dist,
    /// All of these
    All,
}

impl SetupFeature {
    fn features(self) -> Vec<Feature> {
        match self {
            Self::BuildQemu => vec![Feature::BuildQemu],
            Self::Bootstrap => vec![Feature::Bootstrap],
            Self::Provision => vec![Feature::Provision],
            Self::ContainerImages => vec![Feature::ContainerImages],
            Self::Test => vec![Feature::Test],
            Self::VmTest => vec![Feature::VmTest],
            Self::Smoke => vec![Feature::Smoke],
            Self::StackBench => vec![Feature::StackBench],
            Self::Dist => vec![Feature::Dist],
            Self::All => Feature::ALL.to_vec(),
        }
    }
}

impl Setup {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let features: Vec<Feature> = self.features.iter().copied().flat_map(SetupFeature::features).collect();
        let missing = packages::missing(&features).await;
        if missing.is_empty() {
            console.line("nothing is missing");
        }
        let mut stdout = std::io::stdout();
        for one in &missing {
            writeln!(stdout, "{one}")?;
        }
        if self.check {
            return if missing.is_empty() { Ok(()) } else { Err(lacking(missing.len())) };
        }
        packages::ensure(&features, console).await?;
        if features.contains(&Feature::VmTest) {
            clients::installed(console).await?;
        }
        if self.kvm {
            kvm::open_to_everybody(console).await?;
        }
        Ok(())
    }
}

fn lacking(count: usize) -> anyhow::Error {
    anyhow!("this host lacks {count} of what the builds and tests need")
}
