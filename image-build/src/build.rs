//! The build: from a description and a base to a published image.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ::base::digest::Sha256;
use ::base::events::{Event, Reporter, Timing, Timings};
use ::base::files::{FileError, FileLock};
use ::base::space;
use image::arch::Arch;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::qemu;

use crate::base::{self, Base};
use crate::disk::Layout;
use crate::error::BuildError;
use crate::host_machine::Limits;
use crate::inputs;
use crate::job::Job;
use crate::place::Place;
use crate::source::Source;
use crate::stackd::Recipe;
use crate::toolchain::Toolchain;
use crate::{commit, leftovers, stackd};

/// Version of [`Outcome`] as JSON.
const SCHEMA_VERSION: u32 = 1;

/// Free space that a build needs in the cache when it creates a base: the new root's files and the file system that they are
/// packed into.
const BASE_SPACE: u64 = 3 << 30;

/// Free space that a build needs beside the image: the raw disk with what provisioning writes, and the compressed one.
const IMAGE_SPACE: u64 = 3 << 30;

/// Builds whose logs are kept.
const LOGS_KEPT: usize = 10;

/// What to build, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Architecture of the image.
    pub arch: Arch,
    /// The checkout, whose package `guest` or `product` is built.
    pub workspace: PathBuf,
    /// Directory with the description of the platform, and of the services that stacks share.
    pub platform: PathBuf,
    /// Directory with the description of the stack.
    pub stack: PathBuf,
    /// Where the base comes from.
    pub base: Base,
    /// Whether a handler for programs of another architecture may be registered in the host's kernel for the base.
    pub binfmt: bool,
    /// Whether the base is built again even if it is in the cache.
    pub refresh_base: bool,
    /// Whether the image is built again even if it is up to date.
    pub force: bool,
    /// The home with the images and QEMU.
    pub home: Home,
    /// Directory for the image; `None` is the home's.
    pub output: Option<PathBuf>,
    /// The cache of all builds.
    pub cache: PathBuf,
    /// Memory of the machine that provisioning runs in, in MiB; `None` is the stack's own.
    pub memory_mib: Option<u64>,
    /// CPUs of that machine; `None` is the stack's own.
    pub cpus: Option<u32>,
    /// Limits of provisioning.
    pub limits: Limits,
}

/// The result of a build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Version of this shape.
    pub schema_version: u32,
    /// The image.
    pub image: PathBuf,
    /// Whether it existed already and nothing had to be done.
    pub up_to_date: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: Sha256,
    /// The distribution's point release.
    pub debian: String,
    /// Number of installed packages.
    pub packages: usize,
    /// Directory with the build's logs; `null` when nothing was built.
    pub logs: Option<PathBuf>,
    /// How long each phase took, in the order in which they ended.
    pub phases: Vec<Timing>,
}

/// Builds the image, unless it is up to date. Dropping the future ends everything that it started and leaves no file but the
/// logs and what is in the cache.
///
/// # Errors
/// When a stage fails. The image that was there before is untouched then.
pub async fn build(request: &Request, reporter: &dyn Reporter) -> Result<Outcome, BuildError> {
    let timings = Timings::new(reporter);
    let source = Source::open(&request.platform, &request.stack, request.arch)?;
    let layout = Layout::of_size(source.described.stack.machine.disk_gib);
    let toolchain = Toolchain::choose(request.arch, &request.workspace, &request.cache, &timings).await?;
    let inputs = inputs(request, &source, layout, &toolchain).await?;

    let place = Place::of(&request.home, request.arch, request.output.as_deref());
    fs::create_dir_all(&place.dir).map_err(FileError::of("create", &place.dir))?;
    let _lock = FileLock::acquire(&place.lock, || {
        reporter.report(&Event::Notice("waiting for another build of the same image"));
    })
    .await?;
    if !request.force
        && !request.refresh_base
        && let Some(outcome) = up_to_date(&place, request, &inputs).await
    {
        return Ok(outcome);
    }
    let commit = commit::of(&request.workspace, reporter).await?;
    leftovers::sweep(&place.dir, &place.work_prefix)?;
    require_space(request, &place)?;
    let logs = new_logs(request)?;
    let (source, toolchain) = (&source, &toolchain);
    let (place, commit) = (&place, commit.as_str());
    let job = Job { request, source, toolchain, commit, layout, place, logs: &logs, reporter: &timings };
    let files = job.run(inputs).await.inspect_err(|error| {
        if error.logs().is_none() {
            let text = format!("the logs of this build are in `{}`", logs.display());
            reporter.report(&Event::Notice(&text));
        }
    })?;
    Ok(outcome(place, &files, Some(logs), timings.taken()))
}

/// Checks that there is room for the build.
fn require_space(request: &Request, place: &Place) -> Result<(), BuildError> {
    fs::create_dir_all(&request.cache).map_err(FileError::of("create", &request.cache))?;
    space::require(&request.cache, "building a base", BASE_SPACE)??;
    if let (Base::Bootstrap, Some(stages)) = (&request.base, base::parent_elsewhere()) {
        space::require(stages, "building a base", BASE_SPACE)??;
    }
    space::require(&place.dir, "building an image", IMAGE_SPACE)??;
    Ok(())
}

/// Creates a directory for a build's logs.
fn new_logs(request: &Request) -> Result<PathBuf, FileError> {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    let time = OffsetDateTime::now_utc().format(format).expect("the format has no unknown parts");
    let (logs, prefix) = (request.cache.join("logs"), format!("build-{}-", request.arch));
    let dir = logs.join(format!("{prefix}{time}"));
    fs::create_dir_all(&dir).map_err(FileError::of("create", &dir))?;
    leftovers::keep_last(&logs, &prefix, LOGS_KEPT)?;
    Ok(dir)
}

/// Keys of everything that the image is built from.
async fn inputs(
    request: &Request,
    source: &Source,
    layout: Layout,
    toolchain: &Toolchain,
) -> Result<BTreeMap<String, String>, BuildError> {
    let keys = [
        ("base", request.base.key(request.arch, source, layout)?),
        ("builder", inputs::builder(&request.workspace)?),
        ("cloud-init", source.key()?),
        ("stackd", stackd::key(toolchain, &request.workspace, Recipe::of(source.described.product)).await?),
    ];
    Ok(keys.map(|(name, key)| (name.to_owned(), key)).into())
}

/// The outcome without a build, when the image that is there was built from the same inputs. An image that cannot be
/// read is built again.
async fn up_to_date(place: &Place, request: &Request, inputs: &BTreeMap<String, String>) -> Option<Outcome> {
    if !place.image.exists() {
        return None;
    }
    let img = qemu::find_img(&request.home).ok()?;
    let files = BootFiles::at(&place.image, &place.boot_files, request.arch, &img).await.ok()?;
    (files.manifest.inputs == *inputs).then(|| {
        let outcome = outcome(place, &files, None, Vec::new());
        Outcome { up_to_date: true, ..outcome }
    })
}

fn outcome(place: &Place, files: &BootFiles, logs: Option<PathBuf>, phases: Vec<Timing>) -> Outcome {
    Outcome {
        schema_version: SCHEMA_VERSION,
        image: place.image.clone(),
        up_to_date: false,
        bytes: files.image.stamp.size,
        sha256: files.image.sha256,
        debian: files.manifest.debian.version.clone(),
        packages: files.manifest.debian.packages.len(),
        logs,
        phases,
    }
}
