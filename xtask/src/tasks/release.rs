//! `cargo xtask release`: what is published, and publishing it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context as _;
use base::console::Console;
use base::events::{Event, Reporter};
use base::files::FileError;
use base::process::Cmd;
use base::text::{harmless, harmless_json};
use base::variables;
use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use image::arch::Arch;
use image::stack::DEFAULT_STACK;
use release::github::Repo;
use release::github::{Address, GitHub, token};
use release::names::Names;
use release::program::{self, Archive};
use release::publish::notes::Figures;
use release::publish::plan::check_size;
use release::publish::{Choices, Image, Plan, carry_out};
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::qemu::find_img;

use super::arguments::absolute_path;

/// Publish images, or the program, as releases on GitHub
#[derive(Debug, Args)]
pub(crate) struct Release {
    #[command(subcommand)]
    step: ReleaseStep,
}

/// What is done about a release.
#[derive(Debug, Subcommand)]
enum ReleaseStep {
    /// Print as JSON what would be published: releases, notes, and every file with size and digest
    Plan(ReleaseOptions),
    /// Print the notes of the release
    Notes(ReleaseOptions),
    /// Print the plan and carry it out; after a failure, the same command resumes where it stopped
    #[command(after_help = "Examples:
  cargo xtask release publish --repo OWNER/NAME --branch dev --dry-run
  cargo xtask release publish --images target/dist --bench target/dist/bench.json
  cargo xtask release publish --program target/dist

The token is that of `GITHUB_TOKEN`, `GH_TOKEN` or `gh auth token`; it has to be allowed to write the repository's contents.")]
    Publish {
        #[command(flatten)]
        options: ReleaseOptions,

        /// Print the plan, and do nothing else
        #[arg(long)]
        dry_run: bool,
    },
}

/// What is published, and where.
#[derive(Debug, Args)]
struct ReleaseOptions {
    /// Repository, "owner/name"
    #[arg(long, value_name = "REPO", env = "GITHUB_REPOSITORY")]
    repo: Repo,

    /// Stack whose images are published
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STACK)]
    stack: String,

    /// Branch that the images are of, or tag of the program's release [default: the checkout's, or that of the version]
    #[arg(long = "branch", visible_alias = "tag", value_name = "NAME", env = "GITHUB_REF_NAME")]
    git_ref: Option<String>,

    /// Directory with the images [default: that of the emulator's home]
    #[arg(long, value_name = "DIR", value_parser = absolute_path)]
    images: Option<PathBuf>,

    /// Figures for the notes, as `cargo xtask bench --json` writes them
    #[arg(long, value_name = "FILE", value_parser = absolute_path)]
    bench: Option<PathBuf>,

    /// Leave the branch's rolling release alone, for repositories whose releases are immutable
    #[arg(long, env = "EMULATOR_NO_ROLLING", value_parser = FalseyValueParser::new())]
    no_rolling: bool,

    /// Replace the branch's rolling release even if the images in it are newer
    #[arg(long)]
    replace_newer: bool,

    /// Leave out an architecture without an image; it cannot be added to this build's release later
    #[arg(long, env = "EMULATOR_INCOMPLETE", value_parser = FalseyValueParser::new())]
    incomplete: bool,

    /// Publish the program instead, whose archives are in this directory
    #[arg(long, value_name = "DIR", value_parser = absolute_path, conflicts_with_all = ["images", "bench", "replace_newer", "stack"])]
    program: Option<PathBuf>,
}

impl Release {
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        match self.step {
            ReleaseStep::Plan(options) => print(&json(&options.plan().await?)?),
            ReleaseStep::Notes(options) => {
                let plan = options.plan().await?;
                print(plan.releases.first().map_or("", |release| &release.notes))
            }
            ReleaseStep::Publish { options, dry_run } => {
                let plan = options.plan().await?;
                print(&json(&plan)?)?;
                if dry_run {
                    console.report(&Event::Notice("nothing was published: this was a dry run"));
                    return Ok(());
                }
                publish(&plan, options, console).await
            }
        }
    }
}

async fn publish(plan: &Plan, options: ReleaseOptions, console: &Console) -> anyhow::Result<()> {
    let address = Address::from_env()?;
    let token = token::find(&address).await?;
    let github = GitHub::new(address, options.repo, token)?;
    for release in carry_out(plan, &github, console).await? {
        let web = github.address().web();
        let text = format!("published {web}/{}/releases/tag/{}", plan.repository, release.tag);
        console.report(&Event::Notice(&text));
    }
    Ok(())
}

impl ReleaseOptions {
    async fn plan(&self) -> anyhow::Result<Plan> {
        match &self.program {
            Some(dir) => self.program_plan(dir).await,
            None => self.image_plan().await,
        }
    }

    async fn image_plan(&self) -> anyhow::Result<Plan> {
        let home = Home::from_env().context("there is no home to work in")?;
        let dir = self.images.clone().unwrap_or_else(|| home.images());
        let names = Names::of(&self.stack);
        let images = images(&dir, &names, &home).await?;
        let branch = match &self.git_ref {
            Some(branch) => branch.clone(),
            None => branch().await?,
        };
        let figures = self.bench.as_deref().map(figures).transpose()?;
        let choices = Choices {
            figures: figures.as_ref(),
            no_rolling: self.no_rolling,
            replace_newer: self.replace_newer,
            incomplete: self.incomplete,
        };
        Ok(Plan::images(&self.repo, &names, &branch, &dir, &images, choices)?)
    }

    async fn program_plan(&self, dir: &Path) -> anyhow::Result<Plan> {
        let commit = Cmd::new("git").args(["rev-parse", "HEAD"]).text().await?;
        let tag = self.git_ref.as_deref().unwrap_or(program::TAG);
        let path = Path::new(program::INSTALLER);
        let installer = fs::read_to_string(path).map_err(FileError::of("read", path))?;
        let web = Address::from_env()?.web().to_owned();
        Ok(Plan::program(&self.repo, &web, tag, &commit, dir, &Archive::all(dir)?, &installer)?)
    }
}

/// The branch of this checkout.
async fn branch() -> anyhow::Result<String> {
    let branch = Cmd::new("git").args(["branch", "--show-current"]).text().await?;
    anyhow::ensure!(!branch.is_empty(), "this checkout is on no branch: name one with `--branch`");
    Ok(branch)
}

/// The images in `dir`, each with what it says about itself.
async fn images(dir: &Path, names: &Names, home: &Home) -> anyhow::Result<Vec<Image>> {
    let mut found = Vec::new();
    for arch in Arch::ALL {
        let path = dir.join(names.file(arch));
        if path.exists() {
            let size = path.metadata().map_err(FileError::of("look at", &path))?.len();
            // Before hundreds of MiB are read.
            check_size(&path, size)?;
            found.push((arch, path, size));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // Not built where it is missing: a plan, and so a dry run, changes nothing.
    let img = find_img(home)?;
    let scratch =
        tempfile::tempdir_in(variables::temp_dir()).context("temporary directories cannot be made")?;
    let mut images = Vec::new();
    for (arch, path, size) in found {
        let boot = BootFiles::at(&path, &scratch.path().join(arch.as_str()), arch, &img).await?;
        images.push(Image { path, size, sha256: boot.image.sha256, manifest: boot.manifest });
    }
    Ok(images)
}

fn figures(path: &Path) -> anyhow::Result<Figures> {
    let bytes = fs::read(path).map_err(FileError::of("read", path))?;
    Figures::parse(&bytes).with_context(|| format!("cannot use `{}`", path.display()))
}

fn json(plan: &Plan) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(plan)?;
    text.push('\n');
    Ok(harmless_json(&text).into_owned())
}

fn print(text: &str) -> anyhow::Result<()> {
    std::io::stdout().write_all(harmless(text).as_bytes()).context("cannot write to stdout")
}
