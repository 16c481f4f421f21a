//! The build: from a description and a base to a published image.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use ::base::digest::Sha256;
use ::base::events::{Event, Phase, Reporter, Timing, Timings};
use ::base::files::{FileError, FileLock};
use ::base::space;
use ::base::variables;
use image::arch::Arch;
use image::stack::Stack;
use serde::Serialize;
use time::OffsetDateTime;
use time::macros::format_description;
use vm::boot_files::BootFiles;
use vm::home::Home;
use vm::qemu;

use crate::base::{self, Base};
use crate::containers::{self, ComposeFile, Found, ImageFile, Layers};
use crate::disk::Layout;
use crate::error::BuildError;
use crate::host_machine::Limits;
use crate::inputs;
use crate::job::Job;
use crate::place::Place;
use crate::source::{STACK_FILE, Source};
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

/// How often the layers of containers are on the disk while an image is built: in the bundle, on its volume, in the machine as archives
/// and unpacked, and in the image.
const COPIES: u64 = 5;

/// The input that is the builder itself.
const BUILDER: &str = "builder";

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
    /// The stack.
    pub stack: StackSource,
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

/// Where a stack is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StackSource {
    /// In a directory with a `stack.toml`; its image has the name of the default stack, whatever the stack is called.
    BuiltIn(PathBuf),
    /// In a directory with a `stack.toml`.
    Directory(PathBuf),
    /// In a compose file.
    Compose(ComposeFile),
}

impl StackSource {
    /// What is at `path`: a directory with a `stack.toml`, a directory with a compose file, or a compose file. Profiles and images are
    /// those of a compose file.
    pub fn at(path: PathBuf, profiles: Vec<String>, images: Vec<ImageFile>) -> Self {
        let file = if path.join(STACK_FILE).exists() { None } else { ComposeFile::at(&path) };
        match file {
            Some(file) => Self::Compose(ComposeFile { path: file, profiles, images }),
            // Without either file, reading it says what is missing.
            None => Self::Directory(path),
        }
    }

    /// A directory of the checkout whose commit an image of the stack is of: its own, or `workspace` for the one of this repository.
    fn checkout<'a>(&'a self, workspace: &'a Path) -> &'a Path {
        match self {
            Self::BuiltIn(_) => workspace,
            Self::Directory(dir) => dir,
            Self::Compose(file) => match file.path.parent() {
                Some(dir) if !dir.as_os_str().is_empty() => dir,
                _ => Path::new("."),
            },
        }
    }
}

/// The result of a build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Version of this shape.
    pub schema_version: u32,
    /// The image.
    pub image: PathBuf,
    /// The stack that it is of.
    pub stack: String,
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

/// Builds the image, unless it is up to date. Variables in a compose file come from the environment. Dropping the future ends
/// everything that it started and leaves no file but the logs and what is in the cache. `before_replacing` keeps an image of the home
/// that is in use; what it returns is held until the new one is in place.
///
/// # Errors
/// When a stage fails. The image that was there before is untouched then.
pub async fn build(
    request: &Request,
    before_replacing: impl AsyncFn(&Home, Arch, &dyn Reporter) -> Result<FileLock, FileError>,
    reporter: &dyn Reporter,
) -> Result<Outcome, BuildError> {
    let timings = Timings::new(reporter);
    let place = Place::of(&request.home, request.arch, request.output.as_deref());
    fs::create_dir_all(&place.dir).map_err(FileError::of("create", &place.dir))?;
    let _lock = FileLock::acquire(&place.lock, || {
        reporter.report(&Event::Notice(&waiting(request.arch, &place.dir)));
    })
    .await?;
    leftovers::sweep(&place.dir, &place.work_prefix)?;
    let scratch = place.work_dir()?;
    let source = source(&request.platform, &request.stack, request.arch, scratch.path(), &timings).await?;
    let home = request.home.clone();
    let home = match request.stack {
        StackSource::BuiltIn(_) => home,
        _ => home.for_stack(&source.described.stack.name),
    };
    let place = Place::of(&home, request.arch, request.output.as_deref());
    let layout = Layout::of_size(source.described.stack.machine.disk_gib);
    let toolchain = Toolchain::choose(request.arch, &request.workspace, &request.cache, &timings).await?;
    let inputs = inputs(request, &source, layout, &toolchain).await?;
    if !request.force
        && !request.refresh_base
        && let Some(outcome) = up_to_date(&place, request, &inputs).await
    {
        return Ok(outcome);
    }
    let commit = commit::of(request.stack.checkout(&request.workspace), reporter).await?;
    let layers = layers(&source, &request.cache, &inputs[BUILDER], &timings).await?;
    require_space(request, &place, &layers)?;
    let logs = new_logs(request)?;
    let (source, layers, toolchain) = (&source, &layers, &toolchain);
    let (place, commit) = (&place, commit.as_str());
    let job =
        Job { request, source, layers, toolchain, commit, layout, place, logs: &logs, reporter: &timings };
    let replace = async || match request.output {
        Some(_) => Ok(None),
        None => before_replacing(&home, request.arch, &timings).await.map(Some),
    };
    let files = job.run(inputs, replace).await.inspect_err(|error| {
        if error.logs().is_none() {
            let text = format!("the logs of this build are in `{}`", logs.display());
            reporter.report(&Event::Notice(&text));
        }
    })?;
    Ok(outcome(place, &files, Some(logs), timings.taken()))
}

/// What a build says while it waits for another one, of whichever stack.
fn waiting(arch: Arch, dir: &Path) -> String {
    format!("waiting for another build of an image for {arch} in `{}`: one at a time", dir.display())
}

/// Reads the stack as [`build`] does, with its images and their layers, and returns what a manifest would say of it. The layers stay in
/// the cache, where a build finds them. Variables in compose files come from the environment.
///
/// # Errors
/// When it could not be built.
pub async fn described(
    workspace: &Path,
    platform: &Path,
    stack: &StackSource,
    arch: Arch,
    cache: &Path,
    reporter: &dyn Reporter,
) -> Result<Stack, BuildError> {
    let dir = variables::temp_dir();
    let scratch = tempfile::tempdir_in(&dir).map_err(FileError::of("create a directory in", &dir))?;
    let source = source(platform, stack, arch, scratch.path(), reporter).await?;
    layers(&source, cache, &inputs::builder(workspace)?, reporter).await?;
    Ok(source.described.stack)
}

/// Reads the platform and the stack. What is compressed of its images is unpacked in the directory `scratch`.
async fn source(
    platform: &Path,
    stack: &StackSource,
    arch: Arch,
    scratch: &Path,
    reporter: &dyn Reporter,
) -> Result<Source, BuildError> {
    let file = match stack {
        StackSource::BuiltIn(dir) | StackSource::Directory(dir) => {
            return Ok(Source::open(platform, dir, arch)?);
        }
        StackSource::Compose(file) => file,
    };
    let project = file.read(variables::text)?;
    let natives = file.natives(&project, platform)?;
    // First without images, so that what is wrong with the file is reported sooner.
    let without = file.compose(&project, &natives, &Found::default())?;
    without.warnings.iter().for_each(|warning| reporter.report(&Event::Warning(warning)));
    let phase = Phase::start(reporter, "images", "Find the images of the containers");
    let found = file.find(&project, arch, scratch).await?;
    let composed = file.compose(&project, &natives, &found)?;
    phase.done();
    Ok(Source::of_compose(platform, composed, arch)?)
}

/// Checks that there is room for the build.
fn require_space(request: &Request, place: &Place, layers: &Layers) -> Result<(), BuildError> {
    fs::create_dir_all(&request.cache).map_err(FileError::of("create", &request.cache))?;
    space::require(&request.cache, "building a base", BASE_SPACE)??;
    if let (Base::Bootstrap, Some(stages)) = (&request.base, base::parent_elsewhere()) {
        space::require(stages, "building a base", BASE_SPACE)??;
    }
    space::require(&place.dir, "building an image", IMAGE_SPACE + COPIES * layers.bytes)??;
    Ok(())
}

/// Writes the layers of the stack's containers, unless they are in the cache, and checks that they fit on the disk of a machine.
async fn layers(
    source: &Source,
    cache: &Path,
    builder: &str,
    reporter: &dyn Reporter,
) -> Result<Layers, BuildError> {
    let Some(composed) = &source.composed else { return Ok(Layers::default()) };
    let phase = Phase::start(reporter, "layers", "Prepare the layers of the containers");
    let layers = containers::prepare(&composed.images, cache, builder, reporter).await?;
    composed.require_disk(&layers, Layout::of_size(source.described.stack.machine.disk_gib))?;
    phase.done();
    Ok(layers)
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
        (BUILDER, inputs::builder(&request.workspace)?),
        ("cloud-init", source.key()?),
        ("stackd", stackd::key(toolchain, &request.workspace, &Recipe::of(&source.described)).await?),
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
        stack: files.manifest.stack.name.clone(),
        up_to_date: false,
        bytes: files.image.stamp.size,
        sha256: files.image.sha256,
        debian: files.manifest.debian.version.clone(),
        packages: files.manifest.debian.packages.len(),
        logs,
        phases,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    /// Keeps what is reported.
    #[derive(Default)]
    struct Heard(Mutex<String>);

    impl Reporter for Heard {
        fn report(&self, event: &Event<'_>) {
            if let Event::Notice(text) = event {
                self.0.lock().unwrap().push_str(text);
            }
        }
    }

    #[tokio::test]
    async fn a_build_that_waits_for_another_stack_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let place = Place::of(&home, Arch::Amd64, None);
        fs::create_dir_all(&place.dir).unwrap();
        let _other = FileLock::try_acquire(&place.lock).unwrap().unwrap();
        let request = Request {
            arch: Arch::Amd64,
            workspace: dir.path().to_owned(),
            platform: dir.path().to_owned(),
            stack: StackSource::Directory(dir.path().to_owned()),
            base: Base::Bootstrap,
            binfmt: true,
            refresh_base: false,
            force: false,
            home,
            output: None,
            cache: dir.path().to_owned(),
            memory_mib: None,
            cpus: None,
            limits: Limits::default(),
        };
        let heard = Heard::default();
        let keep = async |_: &Home, _: Arch, _: &dyn Reporter| unreachable!("it waits");
        tokio::select! {
            _ = build(&request, keep, &heard) => panic!("it does not wait"),
            said = ::base::wait::until(Duration::from_secs(10), async || {
                let said = heard.0.lock().unwrap().clone();
                (!said.is_empty()).then_some(said)
            }) => {
                let expected = format!("waiting for another build of an image for amd64 in `{}`: one at a time", place.dir.display());
                assert_eq!(said.unwrap(), expected);
            }
        }
    }
}
