//! The build: from a description and a base to an image in its place.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use host::events::{Event, Phase, Reporter, Timing, Timings};
use host::files::{FileError, FileLock};
use host::process::Cmd;
use release::arch::Arch;
use release::manifest::{self, Boot, Build, Debian, Manifest};
use release::stack::MachineSize;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use vm::boot_files::BootFiles;
use vm::disk::Conversion;
use vm::home::Home;
use vm::machine::DiskFile;
use vm::qemu;

use crate::base::{Base, Maker, Ready};
use crate::disk::{self, Layout};
use crate::error::BuildError;
use crate::host_machine::{HostMachine, Limits};
use crate::inputs::{BUILDER_VERSION, Key};
use crate::kernel::Kernel;
use crate::packages::{self, Installed};
use crate::provision::Run;
use crate::seed::Payload;
use crate::source::Source;
use crate::{esp, ext4, leftovers, space, stackd};

/// Version of [`Outcome`] as JSON.
const SCHEMA_VERSION: u32 = 1;

/// Free space that a build needs in the cache when it makes a base: the new root's files and the file system that they are
/// packed into.
const BASE_SPACE: u64 = 3 << 30;

/// Free space that a build needs beside the image: the raw disk with what provisioning writes, and the compressed one.
const IMAGE_SPACE: u64 = 3 << 30;

/// Builds whose logs are kept.
const LOGS_KEPT: usize = 10;

/// What is to be built, and how.
#[derive(Debug, Clone)]
pub struct Request {
    /// Architecture of the image.
    pub arch: Arch,
    /// The checkout, whose package `guest` is built.
    pub workspace: PathBuf,
    /// Directory with the image's description.
    pub source: PathBuf,
    /// Where the base comes from.
    pub base: Base,
    /// Whether the base is made again even if it is in the cache.
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

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// Version of this shape.
    pub schema_version: u32,
    /// The image.
    pub image: PathBuf,
    /// Whether it was there already and nothing had to be done.
    pub up_to_date: bool,
    /// Its size in bytes.
    pub bytes: u64,
    /// SHA-256 of the file.
    pub sha256: String,
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
    if Arch::host() != Some(request.arch) {
        return Err(BuildError::Foreign { arch: request.arch });
    }
    let timings = Timings::new(reporter);
    let source = Source::open(&request.source)?;
    let layout = Layout::of_size(source.stack.machine.disk_gib);
    let inputs = inputs(request, &source, layout).await?;

    let place = Place::of(request);
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
    leftovers::sweep(&place.dir, &place.work_prefix)?;
    require_space(request, &place)?;
    let logs = new_logs(request)?;
    let job = Job { request, source: &source, layout, place: &place, logs: &logs, reporter: &timings };
    let files = job.run(inputs).await.inspect_err(|error| {
        if error.logs().is_none() {
            let text = format!("the logs of this build are in `{}`", logs.display());
            reporter.report(&Event::Notice(&text));
        }
    })?;
    Ok(outcome(&place, &files, Some(logs), timings.taken()))
}

/// Checks that there is room for the build.
fn require_space(request: &Request, place: &Place) -> Result<(), BuildError> {
    fs::create_dir_all(&request.cache).map_err(FileError::of("create", &request.cache))?;
    space::require(&request.cache, "making a base", BASE_SPACE)??;
    space::require(&place.dir, "building an image", IMAGE_SPACE)??;
    Ok(())
}

/// A new directory for a build's logs.
fn new_logs(request: &Request) -> Result<PathBuf, FileError> {
    let format = format_description!("[year][month][day]-[hour][minute][second]");
    let time = OffsetDateTime::now_utc().format(format).expect("the format has no unknown parts");
    let (logs, prefix) = (request.cache.join("logs"), format!("build-{}-", request.arch));
    let dir = logs.join(format!("{prefix}{time}"));
    fs::create_dir_all(&dir).map_err(FileError::of("create", &dir))?;
    leftovers::keep_last(&logs, &prefix, LOGS_KEPT)?;
    Ok(dir)
}

/// Where the image and its boot files go.
struct Place {
    dir: PathBuf,
    image: PathBuf,
    boot_files: PathBuf,
    lock: PathBuf,
    /// Start of the names of working directories.
    work_prefix: String,
}

impl Place {
    fn of(request: &Request) -> Self {
        let arch = request.arch;
        let (image, boot_files) = (request.home.image(arch), request.home.boot_files(arch));
        let dir = request.output.clone().unwrap_or_else(|| request.home.images());
        let within = |path: &Path| dir.join(path.file_name().unwrap_or_default());
        Self {
            image: within(&image),
            boot_files: within(&boot_files),
            lock: dir.join(format!(".build-{arch}.lock")),
            work_prefix: format!(".build-{arch}-"),
            dir,
        }
    }
}

/// Keys of everything that the image is made from.
async fn inputs(
    request: &Request,
    source: &Source,
    layout: Layout,
) -> Result<BTreeMap<String, String>, BuildError> {
    let keys = [
        ("base", request.base.key(request.arch, source, layout)?),
        ("builder", BUILDER_VERSION.to_string()),
        ("cloud-init", Key::default().tree("cloud-init", source.dir())?.finish()),
        ("stackd", stackd::key(request.arch, &request.workspace).await?),
    ];
    Ok(keys.map(|(name, key)| (name.to_owned(), key)).into())
}

/// The outcome of doing nothing, when the image that is there was made from the same inputs. An image that cannot be
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
        sha256: files.image.sha256.clone(),
        debian: files.manifest.debian.version.clone(),
        packages: files.manifest.debian.packages.len(),
        logs,
        phases,
    }
}

/// A build that has something to do.
struct Job<'a> {
    request: &'a Request,
    source: &'a Source,
    layout: Layout,
    place: &'a Place,
    logs: &'a Path,
    reporter: &'a Timings<'a>,
}

impl Job<'_> {
    async fn run(&self, inputs: BTreeMap<String, String>) -> Result<BootFiles, BuildError> {
        let Self { request, source, layout, place, logs, reporter } = *self;
        let machine =
            HostMachine::find(request.home.clone(), request.arch, self.size(), request.limits).await?;
        let work = tempfile::Builder::new()
            .prefix(&place.work_prefix)
            .tempdir_in(&place.dir)
            .map_err(FileError::of("create a directory in", &place.dir))?;
        let work = work.path();

        let stackd = stackd::path(request.arch, &request.workspace);
        let maker = Maker {
            arch: request.arch,
            source,
            layout,
            cache: &request.cache,
            logs,
            machine: &machine,
            stackd: &stackd,
            reporter,
        };
        let base = self.programs_and_base(&maker).await?;

        let phase = Phase::start(reporter, "disk", "Laying out the disk");
        let disk = work.join("disk.raw");
        let (kernel, boot) = {
            let (disk, root, work) = (disk.clone(), base.root.clone(), work.to_owned());
            let (source, stackd, arch) = (source.clone(), stackd.clone(), request.arch);
            blocking(move || -> Result<_, BuildError> {
                let kernel = Kernel::read(&ext4::Reader::open(&root, 0)?, &source)?;
                let boot = kernel.write(&work, &stackd, &source.cmdline)?;
                disk::create(&disk, layout, arch, &root)?;
                Ok((kernel, boot))
            })
            .await?
        };
        // From here on the base may be removed by others.
        drop(base);
        phase.done();

        let payload = Payload { seed: &source.seed()?, trees: &[(&source.bundle(), "")], stackd: &stackd };
        let run = Run { machine: &machine, disk: &disk, boot: &boot, payload, work, logs, reporter };
        run.run().await?;

        let phase = Phase::start(reporter, "boot-files", "Checking the disk and writing the boot partition");
        ext4::check(&disk, layout.root.start).await.map_err(BuildError::RootDamaged)?;
        let build = self.build_info().await?;
        {
            let (disk, initrd, arch, source) =
                (disk.clone(), boot.initrd.clone(), request.arch, source.clone());
            blocking(move || write_esp(&disk, layout, arch, &kernel, &initrd, &source, build, inputs))
                .await?;
        }
        phase.done();

        let image = work.join(request.arch.image_file());
        let phase = Phase::start(reporter, "compress", "Compressing the image");
        let img = machine.qemu.img();
        let from = DiskFile::raw(&disk);
        img.convert(&Conversion { from: &from, to: &image, compress: true }).await?;
        img.check(&image).await?;
        phase.done();

        let phase = Phase::start(reporter, "publish", "Putting the image in its place");
        host::files::publish(&image, &place.image)?;
        let files = BootFiles::at(&place.image, &place.boot_files, request.arch, img).await?;
        phase.done();
        Ok(files)
    }

    /// Builds the guest's program and makes the base: at the same time, unless the base is made by that program.
    async fn programs_and_base(&self, maker: &Maker<'_>) -> Result<Ready, BuildError> {
        let Self { request, reporter, .. } = *self;
        let log = maker.logs.join("cargo.log");
        let program = async { Ok(stackd::build(request.arch, &request.workspace, &log, reporter).await?) };
        let base = async { Ok(request.base.ensure(maker, request.refresh_base).await?) };
        match request.base {
            Base::Bootstrap => tokio::try_join!(program, base).map(|((), base)| base),
            Base::Cloud(_) => {
                program.await?;
                base.await
            }
        }
    }

    fn size(&self) -> MachineSize {
        let own = self.source.stack.machine;
        MachineSize {
            memory_mib: self.request.memory_mib.unwrap_or(own.memory_mib),
            cpus: self.request.cpus.unwrap_or(own.cpus),
            disk_gib: own.disk_gib,
        }
    }

    async fn build_info(&self) -> Result<Build, BuildError> {
        let time = OffsetDateTime::now_utc().replace_nanosecond(0).expect("zero is a nanosecond");
        Ok(Build {
            git_sha: git_sha(&self.request.workspace).await,
            time: time.format(&Rfc3339).expect("a time of this millennium has the format"),
        })
    }
}

/// The commit that the checkout is at. Building from an unpacked archive is fine: then there is none.
async fn git_sha(workspace: &Path) -> String {
    let git = |args: &[&str]| Cmd::new("git").args(args).current_dir(workspace);
    let Ok(sha) = git(&["rev-parse", "HEAD"]).text().await else { return "unknown".to_owned() };
    match git(&["status", "--porcelain"]).text().await {
        Ok(changes) if changes.is_empty() => sha,
        _ => format!("{sha}-dirty"),
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that the partition is made from, once")]
fn write_esp(
    disk: &Path,
    layout: Layout,
    arch: Arch,
    kernel: &Kernel,
    initrd: &Path,
    source: &Source,
    build: Build,
    inputs: BTreeMap<String, String>,
) -> Result<(), BuildError> {
    let root = ext4::Reader::open(disk, layout.root.start)?;
    let Installed { release, packages } = packages::installed(&root)?;
    let manifest = Manifest {
        format_version: manifest::FORMAT_VERSION,
        arch,
        build,
        debian: Debian { version: release, packages },
        boot: Boot {
            kernel: esp::KERNEL.to_owned(),
            initrd: esp::FAST_INITRD.to_owned(),
            cmdline: source.cmdline.clone(),
        },
        stack: source.stack.clone(),
        resume_protocol: manifest::RESUME_PROTOCOL,
        minimum_qemu: manifest::MINIMUM_QEMU.to_owned(),
        inputs,
    };
    let parts = esp::Parts {
        loader: &root.read(esp::loader_in_root(arch))?,
        kernel: &kernel.image,
        fast_initrd: &fs::read(initrd).map_err(FileError::of("read", initrd))?,
        generic_initrd: &kernel.generic_initrd,
        manifest: &manifest.to_json(),
    };
    esp::volume(arch, parts)?.write_esp(disk, layout.esp.start, layout.esp.len)?;
    Ok(())
}

/// Runs work that blocks on another thread, so that signals and bars stay alive.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
