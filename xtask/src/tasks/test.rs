//! `cargo xtask test`: every check and every test.

use std::env::consts::OS;

use base::console::Console;
use clap::Args;

use super::arguments::Arches;
use super::cargo::{cargo, cargo_with_env};
use super::clients;
use super::linters;
use super::vm_tier::{VmTier, images_for};
use crate::packages::{self, Feature};

/// Run every check and every test, those with virtual machines included
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --no-vm
  cargo xtask test --only-vm -- kill
  cargo xtask test --only-vm --arch arm64")]
pub(crate) struct Test {
    /// Leave out the tests that boot virtual machines
    #[arg(long, conflicts_with = "only_vm")]
    no_vm: bool,

    /// Run nothing but the tests that boot virtual machines
    #[arg(long)]
    only_vm: bool,

    /// Architectures whose virtual machines are tested; their images are built if need be
    #[arg(long, value_name = "amd64|arm64|both", default_value = "amd64", conflicts_with = "no_vm")]
    arch: Arches,

    /// Run only the tests whose names contain one of these
    #[arg(last = true)]
    names: Vec<String>,
}

/// Packages for Linux: the guest's programs, what makes images, and what tests both.
const LINUX_ONLY: [&str; 9] =
    ["guest", "image-build", "mail", "product", "s3", "service-kit", "services", "test-postgres", "vm-tests"];

impl Test {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        let tiers = [(!self.only_vm).then_some(Feature::Test), (!self.no_vm).then_some(Feature::VmTest)];
        let features: Vec<Feature> = tiers.into_iter().flatten().collect();
        packages::ensure(&features, console).await?;
        if !self.only_vm {
            checks().await?;
            linters::run(console).await?;
            unit_tier(&names).await?;
        }
        if !self.no_vm {
            let arches = self.arch.each();
            let clients = (clients::VARIABLE, clients::installed(console).await?.into_os_string());
            let tier = VmTier::prepare(&images_for(&arches), console).await?;
            tier.run_with(&arches, &names, &[], [clients]).await?;
        }
        Ok(())
    }
}

/// Format, lints, licences and sources of dependencies, and documentation.
async fn checks() -> anyhow::Result<()> {
    cargo(["fmt", "--all", "--check"]).await?;
    let packages = checked_on(OS);
    let clippy = ["--all-targets", "--", "--deny", "warnings"];
    cargo(["clippy"].into_iter().chain(packages.iter().copied()).chain(clippy)).await?;
    // Advisories need a database from the network, and a new one must not break a build that has not changed.
    cargo(["deny", "check", "bans", "licenses", "sources"]).await?;
    let doc = ["doc", "--no-deps", "--document-private-items"];
    cargo_with_env(doc.into_iter().chain(packages), [("RUSTDOCFLAGS", "--deny=warnings".into())]).await
}

/// Tests without virtual machines and without a network.
async fn unit_tier(names: &[&str]) -> anyhow::Result<()> {
    let nextest = ["nextest", "run", "--no-tests=pass"].into_iter().chain(tested_on(OS));
    cargo(nextest.chain(names.iter().copied())).await
}

/// Cargo's arguments for the packages that are checked on `os`.
fn checked_on(os: &str) -> Vec<&'static str> {
    let left_out: &[&str] = if os == "linux" { &[] } else { &LINUX_ONLY };
    ["--workspace"].into_iter().chain(left_out.iter().flat_map(|package| ["--exclude", package])).collect()
}

/// nextest's arguments for the tests that need no virtual machine and run on `os`.
fn tested_on(os: &str) -> Vec<&'static str> {
    // Without the filter's package nextest would not know what it means.
    let without_machines: &[&str] =
        if os == "linux" { &["--filterset", "not binary_id(vm-tests::vm)"] } else { &[] };
    checked_on(os).into_iter().chain(without_machines.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elsewhere_than_on_linux_the_packages_for_linux_are_left_out() {
        assert_eq!(checked_on("linux"), ["--workspace"]);
        assert_eq!(tested_on("linux").join(" "), "--workspace --filterset not binary_id(vm-tests::vm)");
        let elsewhere = "--workspace --exclude guest --exclude image-build --exclude mail --exclude product \
                         --exclude s3 --exclude service-kit --exclude services --exclude test-postgres \
                         --exclude vm-tests";
        assert_eq!(checked_on("macos").join(" "), elsewhere);
        assert_eq!(tested_on("macos").join(" "), elsewhere);
    }
}
