//! `cargo xtask s3`.

mod bench;
mod judge;
mod native;

use base::console::Console;
use clap::{Args, Subcommand};

use super::python::Packages;

/// Judge the service for S3 on this machine, or measure it beside other servers
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask s3 judge
  cargo xtask s3 bench --rounds 5")]
pub(crate) struct S3 {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Judge(judge::Judge),
    Bench(bench::Bench),
}

/// What is installed for both.
const PACKAGES: Packages = Packages {
    name: "s3-judges",
    title: "the suite for S3 and other servers",
    requirements: include_str!("../../s3/requirements.txt"),
};

impl S3 {
    /// Does it.
    ///
    /// # Errors
    /// When a judge is not satisfied, or a server does not answer.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        match self.what {
            What::Judge(judge) => judge.run(console).await,
            What::Bench(bench) => bench.run(console).await,
        }
    }
}
