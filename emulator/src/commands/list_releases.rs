//! `emulator list-releases`.

use base::digest::Sha256;
use clap::Args;
use image::arch::Arch;
use release::github::model::Release;
use release::github::{Address, GitHub, Repo, token};
use release::names::Names;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;
use crate::pull::PullError;

/// Show the releases that have images
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator list-releases --repo OWNER/NAME
  emulator list-releases --repo OWNER/NAME --branch main -o json")]
pub(crate) struct ListReleases {
    /// Repository
    #[arg(long, env = "EMULATOR_REPO", hide_env_values = true, value_name = "OWNER/NAME")]
    repo: Option<Repo>,

    /// Only releases of this branch
    #[arg(long, value_name = "NAME")]
    branch: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    repo: String,
    releases: Vec<View>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View {
    tag: String,
    #[serde(with = "time::serde::rfc3339::option")]
    published_at: Option<OffsetDateTime>,
    url: String,
    images: Vec<ImageView>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ImageView {
    arch: Arch,
    bytes: u64,
    sha256: Option<Sha256>,
}

impl Run for ListReleases {
    const HOME_USE: HomeUse = HomeUse::Nothing;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let repo = self.repo.clone().ok_or(PullError::NoRepo)?;
        let names = Names::of(context.home.stack());
        let address = Address::from_env().map_err(PullError::from)?;
        let token = token::find(&address).await.map_err(PullError::from)?;
        let github = GitHub::new(address, repo, token).map_err(PullError::from)?;
        let releases = github.releases(&names, self.branch.as_deref()).await.map_err(PullError::from)?;
        let releases = releases.into_iter().map(|release| view(release, &names)).collect();
        let report = Report { repo: github.repo().to_string(), releases };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn view(release: Release, names: &Names) -> View {
    let image = |arch: Arch| {
        let asset = release.asset(&names.file(arch))?;
        Some(ImageView { arch, bytes: asset.size, sha256: asset.sha256 })
    };
    let images = Arch::ALL.into_iter().filter_map(image).collect();
    View { images, tag: release.tag_name, published_at: release.published_at, url: release.html_url }
}

fn people(report: &Report) -> String {
    if report.releases.is_empty() {
        return format!("`{}` has no release with an image", report.repo);
    }
    let rows = report.releases.iter().map(|release| {
        let at = release.published_at.and_then(|at| at.truncate_to_second().format(&Rfc3339).ok());
        let image = |image: &ImageView| format!("{} ({} MiB)", image.arch, image.bytes >> 20);
        let images: Vec<_> = release.images.iter().map(image).collect();
        [release.tag.clone(), at.unwrap_or_default(), images.join(", ")]
    });
    table(["TAG", "PUBLISHED", "IMAGES"], rows)
}
