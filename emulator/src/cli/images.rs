//! Flags of the commands about images.

use std::path::PathBuf;

use clap::Args;
use release::github::Repo;

/// Flags of `pull`.
#[derive(Debug, Args)]
#[command(after_help = "\
What is here already is not downloaded again, and what was interrupted goes on where it stopped. The image that is
in use stays until the new one is complete and proved to be one; instances with data keep the image that it is on.

Releases need no token, other images do: `GITHUB_TOKEN`, `GH_TOKEN`, or what `gh auth token` prints.
`GITHUB_API_URL` names another GitHub than the public one.

Exit codes: 0 it is here, 1 it is not there or cannot be had, 4 a token is missing, refused or used up,
6 nothing came for too long, 7 what came is not what it should be.

`EMULATOR_REPO` names the repository once for all, in place of `--repo`; a file needs none.

Examples:
  emulator pull --repo OWNER/NAME                    the newest image of branch `dev`
  emulator pull --repo OWNER/NAME --branch main --skip-snapshot
  emulator pull --repo OWNER/NAME --tag emulator-dev-20260131-0123abcd
  emulator pull --repo OWNER/NAME --pr 123           the image that was built for a pull request
  emulator pull --repo OWNER/NAME --run 4567890      what a workflow run has left
  emulator pull --file stack-emulator-amd64.qcow2")]
pub(crate) struct Pull {
    #[command(flatten)]
    pub(crate) source: PullSource,

    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repo>,

    /// Accept an image that was built from another repository's code
    #[arg(long)]
    pub(crate) allow_fork: bool,

    /// Make no snapshot; the first start does
    #[arg(long)]
    pub(crate) skip_snapshot: bool,

    /// Download also what is here already
    #[arg(long)]
    pub(crate) force: bool,
}

/// Where `pull` takes the image from.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PullSource {
    /// Newest release of this branch; the default is `dev`
    #[arg(long, value_name = "NAME", help_heading = "What to pull")]
    pub(crate) branch: Option<String>,

    /// Release with this tag
    #[arg(long, value_name = "TAG", help_heading = "What to pull")]
    pub(crate) tag: Option<String>,

    /// Image of the head of this pull request
    #[arg(long, value_name = "N", help_heading = "What to pull")]
    pub(crate) pr: Option<u64>,

    /// Image of this workflow run
    #[arg(long, value_name = "ID", help_heading = "What to pull")]
    pub(crate) run: Option<u64>,

    /// Image in this file, in a zip that is this file, or in this directory of artifacts
    #[arg(long, value_name = "PATH", help_heading = "What to pull")]
    pub(crate) file: Option<PathBuf>,
}

/// Flags of `list-releases`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator list-releases --repo OWNER/NAME
  emulator list-releases --repo OWNER/NAME --branch main -o json")]
pub(crate) struct ListReleases {
    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    pub(crate) repo: Option<Repo>,

    /// Only releases of this branch
    #[arg(long, value_name = "NAME")]
    pub(crate) branch: Option<String>,
}

/// Flags of `images`.
#[derive(Debug, Args)]
#[command(after_help = "\
New sessions begin with the current image. An older one is kept while an instance has data on it.

Examples:
  emulator images
  emulator images -o json")]
pub(crate) struct Images {}

/// Flags of `prune`.
#[derive(Debug, Args)]
#[command(after_help = "\
Removed are replaced images that no instance has data on, snapshots that no session would begin with, unfinished
downloads, and what killed commands have left of them. The data of instances is never touched: that is what `emulator reset` is for.

Examples:
  emulator prune --dry-run              show what would go
  emulator prune")]
pub(crate) struct Prune {
    /// Show what would be removed, and remove nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}
