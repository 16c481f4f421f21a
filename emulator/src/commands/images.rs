//! `emulator images`.

use std::path::Path;

use base::digest::Sha256;
use base::events::{Event, Reporter};
use clap::Args;
use image::arch::Arch;
use instances::images::list::Listed;
use instances::images::store;
use instances::images::users::{self, Users};
use instances::instance::error::InstanceError;
use instances::registry::Registry;
use serde::Serialize;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;

/// Show the images on this machine
#[derive(Debug, Args)]
#[command(after_help = "\
New sessions start from the current image. An older one is kept while an
instance has data on it.

Examples:
  emulator images
  emulator images -o json")]
pub(crate) struct Images {}

#[derive(Serialize)]
struct Report<'a> {
    images: Vec<View<'a>>,
}

/// An image; what is not known before it was used is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    stack: &'a str,
    arch: Arch,
    /// Whether new sessions begin with it.
    current: bool,
    path: &'a Path,
    bytes: u64,
    sha256: Option<Sha256>,
    git_sha: Option<&'a str>,
    built_at: Option<&'a str>,
    origin: Option<&'a str>,
    /// The instances that have data on it, or may have.
    instances: Vec<&'a str>,
}

impl Run for Images {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let images = store::Images::new(&context.home);
        let registry = Registry::new(&context.home);
        warn_of_unknown(context, &registry)?;
        let listed = images.list(&registry).map_err(InstanceError::from)?;
        let report = Report { images: listed.iter().map(view).collect() };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

/// Says because of which instances nothing counts as unneeded.
pub(super) fn warn_of_unknown(context: &Context<'_>, users: &dyn Users) -> Result<(), CommandError> {
    for (name, why) in users::unknown(users).map_err(InstanceError::from)? {
        let text = format!("instance `{name}` may have data on any image or snapshot: {why}");
        context.console.report(&Event::Warning(&text));
    }
    Ok(())
}

fn view(image: &Listed) -> View<'_> {
    let build = image.manifest.as_ref().map(|manifest| &manifest.build);
    View {
        stack: &image.stack,
        arch: image.arch,
        current: image.current,
        path: &image.path,
        bytes: image.size,
        sha256: image.sha256,
        git_sha: build.map(|build| build.git_sha.as_str()),
        built_at: build.map(|build| build.time.as_str()),
        origin: image.origin.as_deref(),
        instances: image.instances.iter().map(instances::name::InstanceName::as_str).collect(),
    }
}

fn people(report: &Report<'_>) -> String {
    if report.images.is_empty() {
        return "there is no image: `emulator pull --repo OWNER/NAME` gets one".to_owned();
    }
    let or_dash = |text: Option<&str>| text.unwrap_or("-").to_owned();
    let rows = report.images.iter().map(|image| {
        [
            image.stack.to_owned(),
            image.arch.to_string(),
            if image.current { "current" } else { "replaced" }.to_owned(),
            format!("{} MiB", image.bytes >> 20),
            or_dash(image.built_at),
            or_dash(image.sha256.map(|sha256| sha256.first_digits(12)).as_deref()),
            or_dash(Some(&image.instances.join(", ")).filter(|names| !names.is_empty()).map(String::as_str)),
        ]
    });
    table(["STACK", "ARCH", "STATE", "SIZE", "BUILT", "SHA-256", "INSTANCES"], rows)
}
