//! `emulator pull`.

use base::events::Timings;
use image::arch::Arch;
use instances::instance::capture::CaptureOptions;
use instances::instance::start::MachineOptions;
use release::github::Repo;
use release::github::find::Wanted;
use release::names::DEFAULT_BRANCH;
use serde::Serialize;
use vm::accel::Choice;

use crate::cli::{Pull, PullSource};
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::pull::{Order, PullError, Pulled, Source};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    arch: Arch,
    image: &'a std::path::Path,
    sha256: &'a str,
    origin: &'a str,
    /// Whether it was not here before.
    changed: bool,
    /// The snapshot that new sessions begin with; null when none was asked for.
    snapshot: Option<String>,
}

impl Pull {
    /// Gets the image, and makes a snapshot of it.
    pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
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
        let report = Report { arch, image: &image, sha256: &sha256, origin: &origin, changed, snapshot };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
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
