//! The grammar of `cargo xtask`.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use base::console::Verbosity;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use image::arch::Arch;
use image_build::base::Origin;
use release::github::Repo;

/// Maintainers' commands: build QEMU and the image, test, publish.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Shows warnings and errors only.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Shows every line that the steps print.
    #[arg(long, short, global = true)]
    verbose: bool,

    #[command(subcommand)]
    pub(crate) task: Task,
}

impl Cli {
    /// How much the console shows.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// One task a file in `tasks/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Bench(Bench),
    BuildImage(BuildImage),
    BuildQemu(BuildQemu),
    Dist(Dist),
    FuzzApi(FuzzApi),
    Quickstart(Quickstart),
    Release(Release),
    Setup(Setup),
    Smoke(Smoke),
    Soak(Soak),
    Test(Test),
}

/// Builds the image: base system, provisioning in a virtual machine, compressed disk.
///
/// What an image is made from has a key: with nothing changed this ends in seconds. The base system is kept in the cache by its
/// content. A failed or interrupted build leaves its logs, and the image that was there before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build-image amd64
  cargo xtask build-image both
  cargo xtask build-image amd64 --force --output /srv/images
  cargo xtask build-image amd64 --base cloud --cloud-image debian-13-genericcloud-amd64.qcow2")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct BuildImage {
    /// Architecture: amd64, arm64 or both. Another one than this machine's takes longer: its programs are emulated.
    #[arg(value_name = "amd64|arm64|both")]
    pub(crate) arch: Arches,

    /// What the base system is made from: packages, installed natively, or Debian's cloud image.
    #[arg(long, value_enum, default_value_t, help_heading = "Base")]
    pub(crate) base: BaseKind,

    /// Cloud image to take in place of the pinned address: a file, or another address of it.
    #[arg(long, value_name = "FILE|URL", value_parser = cloud_image, help_heading = "Base")]
    pub(crate) cloud_image: Option<Origin>,

    /// SHA-512 of `--cloud-image` where it is not the pinned image.
    #[arg(long, value_name = "DIGEST", requires = "cloud_image", help_heading = "Base")]
    pub(crate) cloud_sha512: Option<String>,

    /// Finishes the base of another architecture in a virtual machine, even where this machine's kernel could run its programs.
    #[arg(long, help_heading = "Base")]
    pub(crate) no_binfmt: bool,

    /// Makes the base again even if it is in the cache, and so takes the newest packages.
    #[arg(long, help_heading = "Base")]
    pub(crate) refresh_base: bool,

    /// Directory with the description of the image, in place of the repository's `cloud-init`.
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    pub(crate) cloud_init: Option<PathBuf>,

    /// Builds even if nothing has changed.
    #[arg(long)]
    pub(crate) force: bool,

    /// Directory for the image, in place of the emulator's home.
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    pub(crate) output: Option<PathBuf>,

    /// Prints the outcome as one line of JSON on stdout.
    #[arg(long)]
    pub(crate) json: bool,

    /// Memory of the virtual machine in MiB, in place of the stack's own.
    #[arg(long, value_name = "MIB", help_heading = "Virtual machine")]
    pub(crate) memory: Option<u64>,

    /// CPUs of the virtual machine, in place of the stack's own.
    #[arg(long, value_name = "N", help_heading = "Virtual machine")]
    pub(crate) cpus: Option<u32>,

    /// How long provisioning may take in all, "20m". The default follows from what runs the guest.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Virtual machine")]
    pub(crate) timeout: Option<Duration>,

    /// How long the guest may be silent, "90s". The default follows from what runs the guest.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Virtual machine")]
    pub(crate) stall_timeout: Option<Duration>,
}

/// For which architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arches {
    /// One.
    One(Arch),
    /// All that images exist for.
    Both,
}

impl Arches {
    /// Each of them.
    pub(crate) fn each(self) -> Vec<Arch> {
        match self {
            Self::One(arch) => vec![arch],
            Self::Both => Arch::ALL.to_vec(),
        }
    }
}

impl FromStr for Arches {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "both" => Ok(Self::Both),
            one => one
                .parse()
                .map(Self::One)
                .map_err(|_| format!("`{one}` is none of `amd64`, `arm64` and `both`")),
        }
    }
}

/// What a base system is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum BaseKind {
    /// Packages, installed natively by mmdebstrap.
    #[default]
    Bootstrap,
    /// Debian's official cloud image; packages are installed in a virtual machine.
    Cloud,
}

/// Sends random and concurrent requests to a machine's API and dashboard.
///
/// `test` does so for 20 seconds. Fails with the requests that were answered as none may be, and with the seed that repeats them.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask fuzz-api
  cargo xtask fuzz-api --minutes 60 --seed 42")]
pub(crate) struct FuzzApi {
    /// How long.
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) minutes: u64,

    /// What the requests follow from, in place of a number that nobody chose.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
}

/// Installs what this host lacks for building and testing; every other task does its part of this by itself.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask setup
  cargo xtask setup --check
  cargo xtask setup --for build-qemu --for test
  cargo xtask setup --kvm")]
pub(crate) struct Setup {
    /// Only prints what is missing, and fails if anything is.
    #[arg(long)]
    pub(crate) check: bool,

    /// Looks at this part of the work only; may be given more than once.
    #[arg(long = "for", value_name = "FEATURE", value_enum, default_value = "all")]
    pub(crate) features: Vec<SetupFeature>,

    /// Lets every user of this host open `/dev/kvm`, afterwards and for good, by a udev rule; for CI runners.
    #[arg(long, conflicts_with = "check")]
    pub(crate) kvm: bool,
}

/// A part of the work that needs something from the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SetupFeature {
    /// Compiling QEMU.
    BuildQemu,
    /// Making the base of an image from Debian's archive.
    Bootstrap,
    /// Making an image from a base.
    Provision,
    /// Running the checks, and the tests without virtual machines.
    Test,
    /// Running the tests that boot virtual machines.
    VmTest,
    /// Proving an image.
    Smoke,
    /// Building the program for other machines than this.
    Dist,
    /// All of these.
    All,
}

/// Goes from a fresh clone to a running, healthy emulator.
///
/// Installs what the host lacks, builds or finds QEMU, builds the image, starts it, and prints the addresses, how to stop
/// it, and how long each part took. What is there already is not done again.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask quickstart
  STACK_EMULATOR_HOME=/tmp/try cargo xtask quickstart")]
pub(crate) struct Quickstart {}

/// Proves an image through the built `emulator`: start, status, HTTP checks, sign-in, keys, stop, nothing left running.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask smoke amd64
  cargo xtask smoke arm64
  cargo xtask smoke amd64 --image stack-emulator-amd64.qcow2")]
pub(crate) struct Smoke {
    /// Architecture of the image; it is built when it is missing.
    pub(crate) arch: Arch,

    /// Image to prove, in place of the one that this checkout builds.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) image: Option<PathBuf>,
}

/// Kills, suspends and starves one machine again and again, and proves after each time that nothing is lost or left over.
///
/// Ends at the first loss, and says where its logs are. Takes root, for a small disk.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask soak
  cargo xtask soak --cycles 100 --seed 7")]
pub(crate) struct Soak {
    /// How often.
    #[arg(long, value_name = "N", default_value = "1000")]
    pub(crate) cycles: NonZeroUsize,

    /// What the cycles are drawn by [default: another one each time, which is printed].
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,

    /// File for every figure as JSON.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) json: Option<PathBuf>,
}

/// Measures how long `emulator` takes to start, stop and capture, as a user runs it.
///
/// Image and QEMU are built or found as in every other task; instances and snapshots are the benchmark's own and go with it.
/// `docs/bench.md` says what is measured, and how to read it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask bench
  cargo xtask bench --rounds 1
  cargo xtask bench --json bench.json --plot docs/bench.svg
  cargo xtask bench --peer /usr/local/bin/emulator
  cargo xtask bench --connections --peer /usr/local/bin/emulator
  cargo xtask bench --memory --idle 30s
  cargo xtask bench --download --rounds 3")]
pub(crate) struct Bench {
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value = "10")]
    pub(crate) rounds: NonZeroUsize,

    /// Architecture of the image [default: this machine's].
    #[arg(long, value_name = "amd64|arm64")]
    pub(crate) arch: Option<Arch>,

    /// Image to measure, in place of the one that this checkout builds.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) image: Option<PathBuf>,

    /// File for every figure as JSON.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) json: Option<PathBuf>,

    /// File for a picture of the figures as SVG.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) plot: Option<PathBuf>,

    /// Another `emulator` to measure in turns with this checkout's; may be given more than once.
    #[arg(long, value_name = "FILE", value_parser = absolute_path, conflicts_with_all = ["memory", "download"])]
    pub(crate) peer: Vec<PathBuf>,

    /// Image of the peers, for those that cannot read this checkout's.
    #[arg(long, value_name = "FILE", value_parser = absolute_path, requires = "peer")]
    pub(crate) peer_image: Option<PathBuf>,

    /// Compares ways to hold the memory of a guest instead: how soon it goes on, and what keeping it costs.
    #[arg(long, conflicts_with_all = ["json", "plot"], help_heading = "Memory")]
    pub(crate) memory: bool,

    /// Measures clients that come at the same time instead: 200 requests and 50 sign-ins at once through a forwarded port.
    #[arg(long, conflicts_with_all = ["plot", "memory", "download"], help_heading = "Connections")]
    pub(crate) connections: bool,

    /// Measures pulls of an image of 2 GB from loopback instead, beside `curl` and `sha256sum`. Takes 10 GB of the disk for a while.
    #[arg(long, conflicts_with_all = ["json", "plot", "memory"], help_heading = "Downloads")]
    pub(crate) download: bool,

    /// How long each guest is left idle, to see what the whole system writes to its disks meanwhile, "30s".
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, requires = "memory", help_heading = "Memory")]
    pub(crate) idle: Option<Duration>,
}

/// Runs every check and every test, those with virtual machines included.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --no-vm
  cargo xtask test --only-vm -- kill
  cargo xtask test --only-vm --arch arm64")]
pub(crate) struct Test {
    /// Leaves out the tests that boot virtual machines.
    #[arg(long, conflicts_with = "only_vm")]
    pub(crate) no_vm: bool,

    /// Runs nothing but the tests that boot virtual machines.
    #[arg(long)]
    pub(crate) only_vm: bool,

    /// Architectures whose virtual machines are tested; their images are built if need be.
    #[arg(long, value_name = "amd64|arm64|both", default_value = "amd64", conflicts_with = "no_vm")]
    pub(crate) arch: Arches,

    /// Runs only the tests whose names contain one of these.
    #[arg(last = true)]
    pub(crate) names: Vec<String>,
}

/// Builds the pinned QEMU from source, into a prefix of its own.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build-qemu
  cargo xtask build-qemu --source ~/Downloads/qemu-10.2.2.tar.xz
  cargo xtask build-qemu --print-cache-key")]
pub(crate) struct BuildQemu {
    /// Takes this tarball instead of fetching one; it must be one of the pinned ones.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) source: Option<PathBuf>,

    /// Builds from the beginning, even if there is a working result or an unfinished build.
    #[arg(long)]
    pub(crate) force: bool,

    /// Prints the key of the result for this host, for CI caches, and does nothing else.
    #[arg(long, conflicts_with_all = ["source", "force", "jobs", "prefix_root"])]
    pub(crate) print_cache_key: bool,

    /// Compilers that run at once [default: one a processor].
    #[arg(long, short, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,

    /// Directory that the prefix is made in [default: `qemu` in the emulator's home].
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    pub(crate) prefix_root: Option<PathBuf>,
}

/// Builds the program for one platform and packs it as releases carry it. Prints the archive's path.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask dist
  cargo xtask dist --target x86_64-unknown-linux-musl --output target/dist")]
pub(crate) struct Dist {
    /// Platform, as rustc calls it [default: this machine's].
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: Option<String>,

    /// Directory for the archive.
    #[arg(long, value_name = "DIR", value_parser = absolute_path, default_value = "target/dist")]
    pub(crate) output: PathBuf,
}

/// Publishes images, or the program, as releases on GitHub.
#[derive(Debug, Args)]
pub(crate) struct Release {
    #[command(subcommand)]
    pub(crate) step: ReleaseStep,
}

/// What is done about a release.
#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseStep {
    /// Prints as JSON what would be published: releases, notes, and every file with size and digest.
    Plan(ReleaseOptions),
    /// Prints the notes of the release.
    Notes(ReleaseOptions),
    /// Prints the plan and carries it out. Doing it again after a failure goes on where it stopped.
    #[command(after_help = "Examples:
  cargo xtask release publish --repo OWNER/NAME --branch dev --dry-run
  cargo xtask release publish --images target/dist --bench target/dist/bench.json
  cargo xtask release publish --program target/dist

The token is that of `GITHUB_TOKEN`, `GH_TOKEN` or `gh auth token`; it has to be allowed to write the repository's contents.")]
    Publish {
        #[command(flatten)]
        options: ReleaseOptions,

        /// Prints the plan, and does nothing else.
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is published, and where.
#[derive(Debug, Args)]
pub(crate) struct ReleaseOptions {
    /// Repository, "owner/name".
    #[arg(long, value_name = "REPO", env = "GITHUB_REPOSITORY")]
    pub(crate) repo: Repo,

    /// Branch that the images are of, or tag of the program's release [default: the checkout's, or that of the version].
    #[arg(long = "branch", visible_alias = "tag", value_name = "NAME", env = "GITHUB_REF_NAME")]
    pub(crate) git_ref: Option<String>,

    /// Directory with the images [default: that of the emulator's home].
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    pub(crate) images: Option<PathBuf>,

    /// Figures for the notes, as `cargo xtask bench --json` writes them.
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    pub(crate) bench: Option<PathBuf>,

    /// Leaves the branch's rolling release alone, as where GitHub is told to make releases immutable.
    #[arg(long, env = "EMULATOR_NO_ROLLING", value_parser = FalseyValueParser::new())]
    pub(crate) no_rolling: bool,

    /// Replaces the branch's rolling release also when the images in it are newer.
    #[arg(long)]
    pub(crate) replace_newer: bool,

    /// Leaves out an architecture of which there is no image. It cannot be added to this build's release later.
    #[arg(long)]
    pub(crate) incomplete: bool,

    /// Publishes the program instead, whose archives are in this directory.
    #[arg(long, value_name = "DIR", value_parser = absolute_path, conflicts_with_all = ["images", "bench", "replace_newer", "incomplete"])]
    pub(crate) program: Option<PathBuf>,
}

/// A file, or an address where it begins with a scheme.
fn cloud_image(text: &str) -> Result<Origin, String> {
    if text.contains("://") {
        text.parse().map(Origin::Url).map_err(|error: url::ParseError| error.to_string())
    } else {
        absolute_path(text).map(Origin::File).map_err(|error| error.to_string())
    }
}

/// Makes a path given on the command line independent of the directory that the tasks run in.
///
/// # Errors
/// When the path is empty or the working directory is gone.
pub(crate) fn absolute_path(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}
