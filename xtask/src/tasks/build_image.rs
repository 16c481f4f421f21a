//! `cargo xtask build-image`.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context;
use base::console::{Console, seconds};
use base::events::{Event, Reporter};
use base::files::{FileError, FileLock};
use clap::{Args, ValueEnum};
use image::arch::Arch;
use image_build::base::{Base, CloudImage, Origin};
use image_build::build::{Outcome, Request, StackSource, build};
use image_build::host_machine::Limits;
use instances::images::store::Images;
use instances::registry::Registry;
use vm::home::{DEFAULT_STACK, Home};

use super::arguments::{Arches, ComposeArguments, absolute_path};
use crate::packages::{self, Feature};

/// Build the image: base system, provisioning in a virtual machine, compressed disk
///
/// What an image is made from has a key: with nothing changed this ends in seconds. The base system is kept in the cache by its
/// content. A failed or interrupted build leaves its logs, and the image that was there before.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask build-image amd64
  cargo xtask build-image both
  cargo xtask build-image amd64 --force --output /srv/images
  cargo xtask build-image amd64 --stack ../shop/stack --output ../shop/images
  cargo xtask build-image amd64 --stack ../shop/compose.yaml --image web=web.tar --image db=postgres.tar
  cargo xtask build-image amd64 --base cloud --cloud-image debian-13-genericcloud-amd64.qcow2")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct BuildImage {
    /// Architecture: amd64, arm64 or both. Another one than this machine's takes longer: its programs are emulated.
    #[arg(value_name = "amd64|arm64|both")]
    arch: Arches,

    /// What the base system is made from: packages, installed natively, or Debian's cloud image
    #[arg(long, value_enum, default_value_t, help_heading = "Base")]
    base: BaseKind,

    /// Cloud image to use instead of the pinned address: a file, or another address of it
    #[arg(long, value_name = "FILE|URL", value_parser = cloud_image, help_heading = "Base")]
    cloud_image: Option<Origin>,

    /// SHA-512 of `--cloud-image` if it is not the pinned image
    #[arg(long, value_name = "DIGEST", requires = "cloud_image", help_heading = "Base")]
    cloud_sha512: Option<String>,

    /// Finish the base of another architecture in a virtual machine, even where this machine's kernel could run its programs
    #[arg(long, help_heading = "Base")]
    no_binfmt: bool,

    /// Make the base again even if it is in the cache, and so get the newest packages
    #[arg(long, help_heading = "Base")]
    refresh_base: bool,

    /// Another stack: a compose file, a directory with one, or a directory with a `stack.toml`
    #[arg(long, value_name = "DIR|FILE", value_parser = absolute_path, help_heading = "Stack")]
    stack: Option<PathBuf>,

    #[command(flatten)]
    compose: ComposeArguments,

    /// Build even if nothing has changed
    #[arg(long)]
    force: bool,

    /// Directory for the image instead of the emulator's home
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    output: Option<PathBuf>,

    /// Print the outcome as one line of JSON on stdout
    #[arg(long)]
    json: bool,

    /// Memory of the virtual machine in MiB instead of the stack's own
    #[arg(long, value_name = "MIB", help_heading = "Virtual machine")]
    memory: Option<u64>,

    /// CPUs of the virtual machine instead of the stack's own
    #[arg(long, value_name = "N", help_heading = "Virtual machine")]
    cpus: Option<u32>,

    /// How long provisioning may take in all, "20m". The default follows from what runs the guest.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Virtual machine")]
    timeout: Option<Duration>,

    /// How long the guest may be silent, "90s". The default follows from what runs the guest.
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration, help_heading = "Virtual machine")]
    stall_timeout: Option<Duration>,
}

/// What a base system is made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum BaseKind {
    /// Packages, installed natively by mmdebstrap
    #[default]
    Bootstrap,
    /// Debian's official cloud image; packages are installed in a virtual machine
    Cloud,
}

/// Directory of the repository that describes the platform.
pub(super) const PLATFORM: &str = "cloud-init";

/// Directory of the repository that describes the stack which is built unless another one is named.
const STACK: &str = "cloud-init/stacks/stack-emulator";

/// Has an up-to-date image for `arch` in `home`, building it unless it is there: from packages, or from the cloud image where this
/// host cannot have what installs them.
///
/// # Errors
/// When it cannot be built.
pub(crate) async fn ensure(home: &Home, arch: Arch, reporter: &dyn Reporter) -> anyhow::Result<Outcome> {
    let stack = StackSource::BuiltIn(workspace()?.join(STACK));
    ensure_stack(home, arch, stack, reporter).await
}

/// The same for any stack.
///
/// # Errors
/// When it cannot be built.
pub(crate) async fn ensure_stack(
    home: &Home,
    arch: Arch,
    stack: StackSource,
    reporter: &dyn Reporter,
) -> anyhow::Result<Outcome> {
    let lacking = packages::missing(&[Feature::Bootstrap]).await;
    let unavailable: Vec<&str> =
        lacking.iter().filter(|one| !one.can_be_installed()).map(|one| one.name.as_str()).collect();
    let kind = kind_without(&unavailable);
    if kind == BaseKind::Cloud {
        let text = format!("this host cannot have {}", unavailable.join(", "));
        reporter.report(&Event::Notice(&format!("{text}: the base is made from Debian's cloud image")));
    }
    packages::ensure(features(kind), reporter).await?;
    if kind == BaseKind::Bootstrap {
        prepare_for(&[arch], reporter).await;
    }
    let workspace = workspace()?;
    let request = Request {
        arch,
        binfmt: true,
        platform: workspace.join(PLATFORM),
        stack,
        base: base(kind, None, None)?,
        refresh_base: false,
        force: false,
        home: home.clone(),
        output: None,
        cache: cache()?,
        memory_mib: None,
        cpus: None,
        limits: Limits::default(),
        workspace,
    };
    Ok(build(&request, keep_if_in_use, reporter).await?)
}

/// What a base is made from on a host that cannot have these of the tools that install packages.
fn kind_without(unavailable: &[&str]) -> BaseKind {
    if unavailable.is_empty() { BaseKind::Bootstrap } else { BaseKind::Cloud }
}

/// What an image with such a base needs from the host.
fn features(kind: BaseKind) -> &'static [Feature] {
    match kind {
        BaseKind::Bootstrap => &[Feature::Bootstrap, Feature::Provision],
        BaseKind::Cloud => &[Feature::Provision],
    }
}

/// Installs what lets this machine run programs of `arches`, where they are not its own. Done without where that fails.
async fn prepare_for(arches: &[Arch], reporter: &dyn Reporter) {
    if arches.iter().all(|arch| Arch::host() == Some(*arch)) {
        return;
    }
    if let Err(error) = packages::ensure(&[Feature::Foreign], reporter).await {
        let text = error.to_string();
        reporter.report(&Event::Notice(text.lines().next().unwrap_or_default()));
    }
}

/// The checkout: tasks run in its root.
pub(super) fn workspace() -> anyhow::Result<PathBuf> {
    std::env::current_dir().context("the working directory is gone")
}

pub(super) fn cache() -> anyhow::Result<PathBuf> {
    base::cache::root().context("there is no home directory: set `STACK_EMULATOR_CACHE`")
}

impl BuildImage {
    /// Builds the image.
    ///
    /// # Errors
    /// When it cannot be built.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let json = self.json;
        packages::ensure(features(self.base), console).await?;
        let arches = self.arch.each();
        if self.base == BaseKind::Bootstrap && !self.no_binfmt {
            prepare_for(&arches, console).await;
        }
        let request = self.request()?;
        for arch in arches {
            let begun = Instant::now();
            let outcome = build(&Request { arch, ..request.clone() }, keep_if_in_use, console).await?;
            summary(&outcome, begun, console);
            if request.output.is_none() && Arch::host() == Some(arch) {
                console.report(&Event::Notice(&next(&outcome.stack)));
            }
            if json {
                let line = serde_json::to_string(&outcome)?;
                writeln!(io::stdout(), "{line}").context("cannot write to stdout")?;
            }
        }
        Ok(())
    }

    /// The request, for the first of the architectures.
    fn request(self) -> anyhow::Result<Request> {
        let workspace = workspace()?;
        Ok(Request {
            arch: self.arch.each()[0],
            binfmt: !self.no_binfmt,
            platform: workspace.join(PLATFORM),
            stack: match self.stack {
                Some(stack) => self.compose.stack(stack)?,
                None => self.compose.built_in(workspace.join(STACK))?,
            },
            base: base(self.base, self.cloud_image, self.cloud_sha512)?,
            refresh_base: self.refresh_base,
            force: self.force,
            home: Home::from_env().context("there is no home to work in")?,
            output: self.output,
            cache: cache()?,
            memory_mib: self.memory,
            cpus: self.cpus,
            limits: Limits { stall: self.stall_timeout, overall: self.timeout },
            workspace,
        })
    }
}

fn base(kind: BaseKind, image: Option<Origin>, sha512: Option<String>) -> anyhow::Result<Base> {
    match (kind, image) {
        (BaseKind::Bootstrap, None) => Ok(Base::Bootstrap),
        (BaseKind::Bootstrap, Some(_)) => anyhow::bail!("`--cloud-image` needs `--base cloud`"),
        (BaseKind::Cloud, image) => Ok(Base::Cloud(
            image.map(|origin| CloudImage { origin, sha512: sha512.map(|hex| hex.to_lowercase()) }),
        )),
    }
}

/// Keeps the image for `arch` if an instance has data on it, as `emulator pull` does.
async fn keep_if_in_use(home: &Home, arch: Arch, reporter: &dyn Reporter) -> Result<FileLock, FileError> {
    Images::new(home).before_replacing(arch, &Registry::new(home), reporter).await
}

/// What to do with a new image of `stack`.
fn next(stack: &str) -> String {
    let flag = if stack == DEFAULT_STACK { String::new() } else { format!(" --stack {stack}") };
    format!("next: `emulator start{flag}`")
}

/// Some phases are under way at the same time, so that it is not their sum that a build takes.
fn summary(outcome: &Outcome, begun: Instant, console: &Console) {
    let Outcome { image, bytes, packages, debian, .. } = outcome;
    let state = if outcome.up_to_date { "is up to date" } else { "is built" };
    let took = if outcome.up_to_date { String::new() } else { format!(", {}", seconds(begun.elapsed())) };
    console.report(&Event::Notice(&format!(
        "`{}` {state}: {:.1} MiB, Debian {debian}, {packages} packages{took}",
        image.display(),
        *bytes as f64 / f64::from(1 << 20),
    )));
}

/// A file, or an address where it begins with a scheme.
fn cloud_image(text: &str) -> Result<Origin, String> {
    if text.contains("://") {
        text.parse().map(Origin::Url).map_err(|error: url::ParseError| error.to_string())
    } else {
        absolute_path(text).map(Origin::File).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_command_names_a_stack_that_is_not_the_default() {
        assert_eq!(next("shop"), "next: `emulator start --stack shop`");
        assert_eq!(next(DEFAULT_STACK), "next: `emulator start`");
    }

    #[test]
    fn a_host_without_bootstrap_tools_takes_the_cloud_image() {
        assert_eq!(kind_without(&[]), BaseKind::Bootstrap);
        let kind = kind_without(&["mmdebstrap"]);
        assert_eq!(base(kind, None, None).unwrap(), Base::Cloud(None));
        assert!(!features(kind).contains(&Feature::Bootstrap));
    }
}
