//! `emulator pull`.

use std::path::PathBuf;

use base::digest::Sha256;
use base::events::Timings;
use clap::Args;
use image::arch::Arch;
use instances::images::pull::Pulled;
use instances::instance::capture::CaptureOptions;
use instances::instance::start::MachineOptions;
use release::github::Repo;
use release::github::find::Wanted;
use release::names::DEFAULT_BRANCH;
use serde::Serialize;
use vm::accel::Choice;

use super::Run;
use super::capture::recover;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::pull::{Order, PullError, Source};

/// Download an image and make the snapshot that new sessions start from
#[derive(Debug, Args)]
#[command(after_help = "\
Files already present are not downloaded again, and interrupted downloads
resume. The current image stays in use until the new one has been downloaded and
verified; instances with data keep the image that their data is on.

Releases need no token, other images do: `GITHUB_TOKEN`, `GH_TOKEN`, or what `gh
auth token` prints. `GITHUB_API_URL` names another GitHub than the public one.

Exit codes: 0 the image is here, 1 it does not exist or cannot be fetched, 4 a
token is missing or refused, or its limit is used up, 6 nothing was received for
too long, 7 what was received is not a valid image.

`EMULATOR_REPO` sets the repository for all commands; a file needs none.

Examples:
  emulator pull --repo OWNER/NAME                    the newest of branch `dev`
  emulator pull --repo OWNER/NAME --branch main --skip-snapshot
  emulator pull --repo OWNER/NAME --tag emulator-dev-20260131-0123abcd
  emulator pull --repo OWNER/NAME --pr 123           that of a pull request
  emulator pull --repo OWNER/NAME --run 4567890      that of a workflow run
  emulator pull --file stack-emulator-amd64.qcow2")]
pub(crate) struct Pull {
    #[command(flatten)]
    source: PullSource,

    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    repo: Option<Repo>,

    /// Accept an image that was built from another repository's code
    #[arg(long)]
    allow_fork: bool,

    /// Make no snapshot; the first start does
    #[arg(long)]
    skip_snapshot: bool,

    /// Download even if the image is already here
    #[arg(long)]
    force: bool,
}

/// Where `pull` takes the image from.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct PullSource {
    /// Newest release of this branch; the default is `dev`
    #[arg(long, value_name = "NAME", help_heading = "What to pull")]
    branch: Option<String>,

    /// Release with this tag
    #[arg(long, value_name = "TAG", help_heading = "What to pull")]
    tag: Option<String>,

    /// Image of the head of this pull request
    #[arg(long, value_name = "N", help_heading = "What to pull")]
    pr: Option<u64>,

    /// Image of this workflow run
    #[arg(long, value_name = "ID", help_heading = "What to pull")]
    run: Option<u64>,

    /// Image in this file, in a zip that is this file, or in this directory of artifacts
    #[arg(long, value_name = "PATH", help_heading = "What to pull")]
    file: Option<PathBuf>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    arch: Arch,
    image: &'a std::path::Path,
    sha256: Sha256,
    origin: &'a str,
    /// Whether it was not here before.
    changed: bool,
    /// The snapshot that new sessions begin with; null when none was asked for.
    snapshot: Option<String>,
}

impl Run for Pull {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let arch = context.arch.or_else(Arch::host).unwrap_or(Arch::Amd64);
        let order = Order {
            home: &context.home,
            console: context.console,
            arch,
            source: self.source.source(self.repo.as_ref())?,
            allow_fork: self.allow_fork,
            force: self.force,
        };
        let Pulled { origin, sha256, changed } = order.fulfil().await?;
        let snapshot = if self.skip_snapshot { None } else { Some(capture(context, arch).await?) };
        let image = context.home.image(arch);
        let report = Report { arch, image: &image, sha256, origin: &origin, changed, snapshot };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        recover(context).await
    }
}

impl PullSource {
    fn source(&self, repo: Option<&Repo>) -> Result<Source, PullError> {
        if let Some(path) = &self.file {
            return Ok(Source::File(path.clone()));
        }
        let wanted = match self {
            Self { tag: Some(tag), .. } => Wanted::Tag(tag.clone()),
            Self { pr: Some(number), .. } => Wanted::PullRequest(*number),
            Self { run: Some(id), .. } => Wanted::Run(*id),
            Self { branch, .. } => {
                Wanted::Branch(branch.clone().unwrap_or_else(|| DEFAULT_BRANCH.to_owned()))
            }
        };
        Ok(Source::GitHub { repo: repo.cloned().ok_or(PullError::NoRepo)?, wanted })
    }
}

/// Makes the snapshot that a plain `start` would make, or finds it.
async fn capture(context: &Context<'_>, arch: Arch) -> Result<String, CommandError> {
    let machine = MachineOptions {
        accel: Choice::Auto,
        arch: Some(arch),
        cpus: None,
        memory_mib: None,
        image: None,
        timeout: None,
    };
    let options = CaptureOptions { machine, strategy: None, force: false };
    let timings = Timings::new(context.console);
    Ok(context.instance().capture(&options, &timings).await?.name())
}

fn people(report: &Report<'_>) -> String {
    let Report { arch, image, origin, .. } = report;
    let image = image.display();
    if report.changed {
        format!("the image for {arch} is {origin}; it is in `{image}`")
    } else {
        format!("the image for {arch} is up to date: it is {origin}, in `{image}`")
    }
}
