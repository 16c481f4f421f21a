//! `cargo xtask bench`: how long everything takes.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::console::Console;
use base::events::{Event, Phase, Reporter};
use base::files::{PUBLIC_FILE, write_atomic};
use clap::Args;
use image::arch::Arch;
use image_build::build::StackSource;
use instances::snapshot::SnapshotDir;
use serde::Serialize;
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::qemu::Qemu;
use vm::saving::Strategy;

use super::arguments::absolute_path;
use super::build_image::{PLATFORM, cache, ensure_stack, workspace};
use super::build_qemu;
use super::cargo::emulator_binary;
use super::vm_tier::{VmTier, home_around};
use crate::bench::connections::Connections;
use crate::bench::contestant::Contestant;
use crate::bench::downloads::Downloads;
use crate::bench::emulator::Emulator;
use crate::bench::everyday::EverydayBench;
use crate::bench::home::BenchHome;
use crate::bench::host_facts::{self, HostFacts};
use crate::bench::memory_ways::{Comparison, Source};
use crate::bench::report::Report;
use crate::bench::rounds::Rounds;
use crate::bench::stacks::{Example, Native, Stacks, check_rights};
use crate::bench::{plot, table};
use crate::packages::{self, Feature};

/// Measure how long `emulator` takes to start, stop and capture, as a user runs it
///
/// Image and QEMU are built or found as in every other task; instances and snapshots are the benchmark's own and are removed with it.
/// `docs/bench.md` says what is measured, and how to read it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench
  cargo xtask bench --rounds 1
  cargo xtask bench --json bench.json --plot docs/bench.svg
  cargo xtask bench --peer /usr/local/bin/emulator
  cargo xtask bench --connections --peer /usr/local/bin/emulator
  cargo xtask bench --everyday --peer /usr/local/bin/emulator
  cargo xtask bench --stack miniflux
  cargo xtask bench --memory --idle 30s
  cargo xtask bench --download --rounds 3")]
pub(crate) struct Bench {
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value = "10")]
    rounds: NonZeroUsize,

    /// Architecture of the image [default: this machine's].
    #[arg(long, value_name = "amd64|arm64")]
    arch: Option<Arch>,

    /// Image to measure instead of the one that this checkout builds
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    image: Option<PathBuf>,

    /// File for every figure as JSON
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    json: Option<PathBuf>,

    /// File for a picture of the figures as SVG
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    plot: Option<PathBuf>,

    /// Another `emulator` to measure in turns with this checkout's; may be given more than once
    #[arg(long, value_name = "FILE", value_parser = absolute_path, conflicts_with_all = ["memory", "download"])]
    peer: Vec<PathBuf>,

    /// Image of the peers, for those that cannot read this checkout's
    #[arg(long, value_name = "FILE", value_parser = absolute_path, requires = "peer")]
    peer_image: Option<PathBuf>,

    #[command(flatten)]
    instead: Instead,

    /// Measure pulls of an image of 2 GB from loopback instead, beside `curl` and `sha256sum`; needs 10 GB of the disk for a while
    #[arg(long, conflicts_with_all = ["json", "plot", "memory"], help_heading = "Downloads")]
    download: bool,

    /// How long each guest is left idle, to see what the whole system writes to its disks meanwhile, "30s"
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "memory", help_heading = "Memory")]
    idle: Option<Duration>,
}

/// What is measured instead of single starts, stops and captures.
#[derive(Debug, Args)]
struct Instead {
    /// Compare ways to hold the memory of a guest instead: how soon it resumes, and what saving it costs
    #[arg(long, conflicts_with_all = ["json", "plot"], help_heading = "Memory")]
    memory: bool,

    /// Measure simultaneous clients instead: 200 requests and 50 sign-ins at once through a forwarded port
    #[arg(long, conflicts_with_all = ["plot", "memory", "download"], help_heading = "Connections")]
    connections: bool,

    /// Measure `run`, `exec`, `env`, `list`, `status` and `start --count` instead
    #[arg(long, conflicts_with_all = ["plot", "memory", "download", "connections"], help_heading = "Everyday")]
    everyday: bool,

    /// Measure a stack of `examples/` instead, beside the same programs without a machine; needs root
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with_all = ["plot", "memory", "download", "connections", "everyday", "peer", "arch"],
        help_heading = "Stack"
    )]
    stack: Option<Example>,
}

/// What this checkout's program is called beside its peers.
const OWN: &str = "this checkout";

impl Bench {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let load = host_facts::load();
        if let Some(warning) = host_facts::warning(load) {
            console.report(&Event::Warning(&warning));
        }
        let arch =
            self.arch.or_else(Arch::host).context("there is no image for this machine's architecture")?;
        if self.download {
            return self.download(arch, console).await;
        }
        if let Some(example) = self.instead.stack {
            // Building an image makes it too big for the stack.
            return Box::pin(self.stack(example, arch, load, console)).await;
        }
        let tier = VmTier::for_one(arch, self.image.as_deref(), console).await?;
        let qemu = Qemu::find(tier.home(), arch).await?;
        // Read out before the bench's home borrows them.
        let boot = BootFiles::of(tier.home(), arch, qemu.img()).await?;
        if self.instead.memory {
            let home = BenchHome::new(tier.home(), arch, console)?;
            let emulator = Emulator::new(tier.emulator().to_owned(), arch, home);
            let contestant = Contestant { name: OWN.to_owned(), emulator, manifest: &boot.manifest };
            let outcome = self.compare_memory(&contestant.emulator, &qemu, &boot, console).await;
            return outcome.map_err(|error| contestant.explain(error));
        }
        let peer_home =
            self.peer_image.as_ref().map(|image| home_around(image, arch, tier.home())).transpose()?;
        let peer_home = peer_home.as_ref().map_or_else(|| tier.home().clone(), |made| Home::new(made.path()));
        let peer_boot = BootFiles::of(&peer_home, arch, qemu.img()).await?;
        let own = (OWN.to_owned(), tier.emulator().to_owned(), tier.home(), &boot.manifest);
        let peers = self
            .peer
            .iter()
            .map(|program| (program.display().to_string(), program.clone(), &peer_home, &peer_boot.manifest));
        let contestants = [own].into_iter().chain(peers).map(|(name, program, source, manifest)| {
            let home = BenchHome::new(source, arch, console)?;
            anyhow::Ok(Contestant { name, emulator: Emulator::new(program, arch, home), manifest })
        });
        let contestants: Vec<Contestant<'_>> = contestants.collect::<anyhow::Result<_>>()?;
        if self.instead.connections {
            self.connections(&contestants, &qemu, load, console).await
        } else if self.instead.everyday {
            self.everyday(&contestants, &qemu, load, console).await
        } else {
            self.measure(&contestants, &qemu, load, console).await
        }
    }

    async fn measure(
        &self,
        contestants: &[Contestant<'_>],
        qemu: &Qemu,
        load: Option<f64>,
        console: &Console,
    ) -> anyhow::Result<()> {
        let rounds = Rounds { contestants, count: self.rounds.get(), console };
        let mut measured = rounds.measure().await?.into_iter();
        let own = measured.next().context("nothing was measured")?;
        let accelerator = own.accelerator.context("nothing was started")?;
        let host = HostFacts::gather(accelerator, qemu.version().to_string(), load)?;
        let peers = contestants[1..].iter().map(|peer| peer.name.clone()).zip(measured);
        let report = Report::new(host, own, peers);
        self.keep(&report)?;
        if let Some(path) = &self.plot {
            write(path, plot::svg(&report)?)?;
        }
        show(&table::all(&report))
    }

    /// Writes every figure to the file that is asked for.
    fn keep(&self, report: &impl Serialize) -> anyhow::Result<()> {
        let Some(path) = &self.json else { return Ok(()) };
        write(path, serde_json::to_string_pretty(report)?)
    }

    async fn connections(
        &self,
        contestants: &[Contestant<'_>],
        qemu: &Qemu,
        load: Option<f64>,
        console: &Console,
    ) -> anyhow::Result<()> {
        let connections = Connections { contestants, count: self.rounds.get(), console };
        let measured = connections.measure().await?;
        let accelerator = measured.accelerator.context("nothing was started")?;
        let host = HostFacts::gather(accelerator, qemu.version().to_string(), load)?;
        let report = connections.report(host, &measured);
        self.keep(&report)?;
        show(&report.table())
    }

    async fn everyday(
        &self,
        contestants: &[Contestant<'_>],
        qemu: &Qemu,
        load: Option<f64>,
        console: &Console,
    ) -> anyhow::Result<()> {
        let everyday = EverydayBench { contestants, count: self.rounds.get(), console };
        let measured = everyday.measure().await?;
        let accelerator = measured.accelerator.context("nothing was started")?;
        let host = HostFacts::gather(accelerator, qemu.version().to_string(), load)?;
        let report = everyday.report(host, &measured);
        self.keep(&report)?;
        show(&report.table())
    }

    /// Needs images of containers beside that of the machine.
    async fn stack(
        &self,
        example: Example,
        arch: Arch,
        load: Option<f64>,
        console: &Console,
    ) -> anyhow::Result<()> {
        check_rights()?;
        packages::ensure(&[Feature::Bootstrap, Feature::StackBench], console).await?;
        let (workspace, cache) = (workspace()?, cache()?);
        let platform = workspace.join(PLATFORM);
        let file = example.compose(&workspace, &platform, arch, &cache, console).await?;
        let native = Native::prepare(&file, &platform, arch, &cache, console).await?;
        let image = if let Some(image) = &self.image {
            image.clone()
        } else {
            let home = Home::from_env().context("there is no home to work in")?;
            build_qemu::ensure(&home, &[arch], console).await?;
            ensure_stack(&home, arch, StackSource::Compose(file), console).await?.image
        };
        let tier = VmTier::for_one(arch, Some(&image), console).await?;
        let qemu = Qemu::find(tier.home(), arch).await?;
        let boot = BootFiles::of(tier.home(), arch, qemu.img()).await?;
        let stack = &boot.manifest.stack.name;
        ensure!(stack == example.as_str(), "`{}` is an image of the stack `{stack}`", image.display());
        let home = BenchHome::new(tier.home(), arch, console)?;
        let emulator = Emulator::new(tier.emulator().to_owned(), arch, home);
        let contestant = [Contestant { name: OWN.to_owned(), emulator, manifest: &boot.manifest }];
        let stacks = Stacks { example, contestant, native, count: self.rounds.get(), console };
        let measured = stacks.measure().await?;
        let accelerator = measured.accelerator.context("nothing was started")?;
        let host = HostFacts::gather(accelerator, qemu.version().to_string(), load)?;
        let report = stacks.report(host, &measured).context("nothing was measured")?;
        self.keep(&report)?;
        show(&report.table())
    }

    /// Needs any image, not the newest one.
    async fn download(&self, arch: Arch, console: &Console) -> anyhow::Result<()> {
        let home = Home::from_env().context("there is no home to work in")?;
        let image = home.image(arch);
        ensure!(
            image.is_file(),
            "there is no image `{}`: run `cargo xtask build-image {arch}`",
            image.display()
        );
        let downloads = Downloads::prepare(&emulator_binary().await?, &home, arch, console)?;
        show(&downloads.table(self.rounds.get(), console).await?)
    }

    async fn compare_memory(
        &self,
        emulator: &Emulator<'_>,
        qemu: &Qemu,
        boot: &BootFiles,
        console: &Console,
    ) -> anyhow::Result<()> {
        let phase = Phase::start(console, "bench-snapshots", "Capture a snapshot");
        let snapshot = emulator.capture(Strategy::Template).await?;
        phase.done();
        let home = emulator.home().home();
        let source = Source::new(home, qemu, boot, SnapshotDir::of(home, &snapshot.snapshot))?;
        let comparison = Comparison { source, count: self.rounds.get(), idle: self.idle, console };
        show(&comparison.table().await?)
    }
}

fn show(table: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{table}").context("cannot write to stdout")
}

fn write(path: &Path, mut text: String) -> anyhow::Result<()> {
    text.push('\n');
    Ok(write_atomic(path, text.as_bytes(), PUBLIC_FILE)?)
}
