//! `cargo xtask stack verify`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail, ensure};
use base::console::Console;
use base::events::{Event, Phase, Reporter as _};
use base::process::{Cmd, Finished};
use clap::Args;
use image::arch::Arch;
use serde_json::Value;
use vm::boot_files::BootFiles;
use vm::home::HOME_VARIABLE;
use vm::qemu::find_img;

use super::super::arguments::absolute_path;
use super::super::vm_tier::VmTier;
use crate::packages::{self, Feature};

/// Lines of the services' logs that are shown when something does not work.
const LINES: &str = "100";

/// Verify the image of any stack through the built `emulator`
///
/// A new session from a snapshot, the same one after a suspension and after a boot: each has to be healthy in all its parts. Nothing is
/// left of them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask stack verify amd64 --image shop-amd64.qcow2
  cargo xtask stack verify amd64 --image shop-amd64.qcow2 --command 'curl -fsS \"$SHOP_URL\"'")]
pub(crate) struct Verify {
    /// Architecture of the image
    arch: Arch,

    /// The image
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    image: PathBuf,

    /// Shell command that has to succeed beside the new session, with the variables of the stack
    #[arg(long, value_name = "COMMAND", env = "STACK_COMMAND")]
    command: Option<String>,

    /// Directory that it runs in
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    directory: Option<PathBuf>,
}

/// The instance that is started.
const INSTANCE: &str = "verify";

/// The program with the home of one image.
struct Program<'a> {
    emulator: &'a Path,
    home: &'a Path,
    arch: Arch,
    console: &'a Console,
    /// Where its commands run.
    directory: Option<&'a Path>,
    /// The flags that give the ports of the stack free numbers.
    ports: Vec<String>,
}

impl Verify {
    /// Verifies it.
    ///
    /// # Errors
    /// When it does not work.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        packages::ensure(&[Feature::Provision], console).await?;
        let Self { arch, image, command, directory } = self;
        let tier = VmTier::for_one(arch, Some(&image), console).await?;
        let boot = BootFiles::of(tier.home(), arch, &find_img(tier.home())?).await?;
        let ports =
            boot.manifest.stack.ports.iter().map(|port| format!("--port={}=auto", port.name)).collect();
        let (emulator, home) = (tier.emulator(), tier.home().root());
        let program = Program { emulator, home, arch, console, directory: directory.as_deref(), ports };
        let outcome = program.sessions(command.as_deref()).await;
        if outcome.is_err() {
            let logs = program.run(&["logs", "--lines", LINES]).await;
            let shown =
                logs.map(|logs| String::from_utf8_lossy(&logs.stdout).into_owned()).unwrap_or_default();
            console.report(&Event::Notice(&format!("the last lines of the services:\n{shown}")));
        }
        // Also after a failure: the home is going to be removed.
        let deleted = program.run(&["delete", "--yes"]).await;
        outcome?;
        deleted.map(drop)
    }
}

impl Program<'_> {
    async fn sessions(&self, command: Option<&str>) -> anyhow::Result<()> {
        self.start("Start a new session", "snapshot").await?;
        if let Some(command) = command {
            let phase = Phase::start(self.console, "verify-command", "Run the command beside it");
            self.run(&["run", "--", "sh", "-c", command]).await?;
            phase.done();
        }
        self.run(&["stop"]).await?;
        self.start("Start it after a suspension", "suspended").await?;
        self.run(&["stop", "--shutdown"]).await?;
        self.start("Boot it", "cold").await
    }

    /// Starts the machine as expected, and checks all its parts.
    async fn start(&self, title: &str, by: &str) -> anyhow::Result<()> {
        let phase = Phase::start(self.console, "verify-start", title);
        let ports = self.ports.iter().map(String::as_str);
        let arguments: Vec<_> = ["start", "-o", "json"].into_iter().chain(ports).collect();
        let started = self.run(&arguments).await?;
        let started: Value = serde_json::from_slice(&started.stdout).context("`start` printed no JSON")?;
        ensure!(
            started["startedBy"] == by,
            "it was started by `{}` instead of `{by}`: {}",
            started["startedBy"].as_str().unwrap_or_default(),
            started["coldBecause"].as_str().unwrap_or("no reason is known")
        );
        self.run(&["status"]).await?;
        phase.done();
        Ok(())
    }

    /// Runs a command of the program.
    async fn run(&self, arguments: &[&str]) -> anyhow::Result<Finished> {
        let (global, command) = (["--arch", self.arch.as_str(), "--instance", INSTANCE], arguments);
        let cmd = Cmd::new(self.emulator).args(global).args(command).env(HOME_VARIABLE, self.home);
        let cmd = cmd.env_remove("EMULATOR_STACK");
        let cmd = self.directory.into_iter().fold(cmd, Cmd::current_dir);
        let finished = cmd.finished().await?;
        if finished.status.success() {
            return Ok(finished);
        }
        let (stdout, stderr) =
            (String::from_utf8_lossy(&finished.stdout), String::from_utf8_lossy(&finished.stderr));
        bail!("`emulator {}` failed:\n{stdout}{stderr}", arguments.join(" "))
    }
}
