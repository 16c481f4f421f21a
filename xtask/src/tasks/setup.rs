//! `cargo xtask setup`: what this host lacks.

use std::io::Write as _;

use crate::packages::{self, Feature};
use anyhow::anyhow;
use base::console::Console;

use super::kvm;
use crate::flags::{Setup, SetupFeature};

impl SetupFeature {
    fn features(self) -> Vec<Feature> {
        match self {
            Self::BuildQemu => vec![Feature::BuildQemu],
            Self::Bootstrap => vec![Feature::Bootstrap],
            Self::Provision => vec![Feature::Provision],
            Self::Test => vec![Feature::Test],
            Self::VmTest => vec![Feature::VmTest],
            Self::Smoke => vec![Feature::Smoke],
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
        if self.kvm {
            kvm::open_to_everybody(console).await?;
        }
        Ok(())
    }
}

fn lacking(count: usize) -> anyhow::Error {
    anyhow!("this host lacks {count} of what the builds and tests need")
}
