//! `cargo xtask test`: every check and every test.

use host::console::Console;
use host::packages::{self, Feature};

use super::cargo::{cargo, cargo_with_env};
use super::linters;
use super::vm_tier::{VmTier, images_for};
use crate::flags::Test;

impl Test {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        packages::ensure(&[Feature::Test], console).await?;
        if !self.only_vm {
            checks().await?;
            linters::run(console).await?;
            unit_tier(&names).await?;
        }
        if !self.no_vm {
            let arches = self.arch.each();
            VmTier::prepare(&images_for(&arches), console).await?.run(&arches, &names).await?;
        }
        Ok(())
    }
}

/// Format, lints, licences and sources of dependencies, and documentation.
async fn checks() -> anyhow::Result<()> {
    cargo(["fmt", "--all", "--check"]).await?;
    cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]).await?;
    // Advisories need a database from the network, and a new one must not break a build that has not changed.
    cargo(["deny", "check", "bans", "licenses", "sources"]).await?;
    cargo_with_env(
        ["doc", "--workspace", "--no-deps", "--document-private-items"],
        [("RUSTDOCFLAGS", "--deny=warnings".into())],
    )
    .await
}

/// Tests without virtual machines and without a network.
async fn unit_tier(names: &[&str]) -> anyhow::Result<()> {
    cargo(["nextest", "run", "--no-tests=pass"].into_iter().chain(names.iter().copied())).await
}
