//! `cargo xtask dist`: the program as a release carries it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use base::console::Console;
use base::events::{Event, Phase, Reporter};
use base::process::Cmd;
use clap::Args;
use release::program::{Archive, PROGRAM};

use super::arguments::absolute_path;
use super::cargo::built;
use crate::documents;
use crate::packages::{self, Feature};

/// Build the program for one platform, pack it as releases carry it, and print the archive's path
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask dist
  cargo xtask dist --target x86_64-unknown-linux-musl --output target/dist")]
pub(crate) struct Dist {
    /// Platform, as rustc calls it [default: this machine's]
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,

    /// Directory for the archive
    #[arg(long, value_name = "DIR", value_parser = absolute_path, default_value = "target/dist")]
    output: PathBuf,
}

impl Dist {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let host = rustc(&["--print", "host-tuple"]).await?;
        let target = self.target.unwrap_or_else(|| host.clone());
        let mut env: Vec<(&str, OsString)> = Vec::new();
        let compiler = format!("CC_{}", target.replace('-', "_"));
        packages::ensure(&[Feature::Dist], console).await?;
        if target.ends_with("-musl") {
            env.push((&compiler, "musl-gcc".into()));
        }
        install_target(&target, console).await?;
        let program = built(PROGRAM, &["--locked", "--release", "--target", &target], env).await?;
        let archive = Archive::pack(&program, &documents::all()?, &target, &self.output)?;
        console.report(&Event::Notice(&format!("`{}`: {}", archive.path.display(), archive.sha256)));
        writeln!(std::io::stdout(), "{}", archive.path.display()).context("cannot write to stdout")
    }
}

/// Installs the standard library for `target` unless it is there.
async fn install_target(target: &str, reporter: &dyn Reporter) -> anyhow::Result<()> {
    let library = PathBuf::from(rustc(&["--print", "target-libdir", "--target", target]).await?);
    if library.is_dir() {
        return Ok(());
    }
    let phase = Phase::start(reporter, "target", &format!("Install Rust's standard library for {target}"));
    Cmd::new("rustup").args(["target", "add", target]).output().await?;
    phase.done();
    Ok(())
}

async fn rustc(args: &[&str]) -> anyhow::Result<String> {
    Ok(Cmd::new("rustc").args(args).text().await?)
}
