//! `cargo xtask quickstart`: from a fresh clone to a running emulator.

use std::time::Instant;

use anyhow::Context as _;
use base::blocking;
use base::console::{Console, seconds};
use base::events::{Event, Reporter, Timings};
use clap::Args;
use image::arch::Arch;
use vm::home::Home;
use xshell::{Shell, cmd};

use super::cargo::emulator_binary;
use super::{build_image, build_qemu};

/// Go from a fresh clone to a running, healthy emulator
///
/// Installs what the host lacks, builds or finds QEMU, builds the image, starts it, and prints the addresses, how to stop
/// it, and how long each part took. Finished parts are not repeated.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask quickstart
  STACK_EMULATOR_HOME=/tmp/try cargo xtask quickstart")]
pub(crate) struct Quickstart {}

impl Quickstart {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let start = Instant::now();
        let arch = Arch::host().context("there is no image for this machine's architecture")?;
        let home = Home::from_env().context("there is no home to work in")?;
        let timings = Timings::new(console);
        build_qemu::ensure(&home, &[arch], &timings).await?;
        build_image::ensure(&home, arch, &timings).await?;
        let emulator = emulator_binary().await?;

        let program = emulator.clone();
        // Its output is the user's: addresses on stdout, phases on stderr.
        let run = move || -> anyhow::Result<()> {
            let sh = Shell::new()?;
            Ok(cmd!(sh, "{program} start").quiet().run()?)
        };
        blocking::run(run).await?;
        console.report(&Event::Notice(&format!(
            "\nfrom clone to healthy in {}\nstop it with: {emulator} stop\nuse it as `emulator`: cargo install --path emulator",
            seconds(start.elapsed()),
            emulator = emulator.display(),
        )));
        Ok(())
    }
}
