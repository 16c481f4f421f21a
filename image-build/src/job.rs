//! A build that is not up to date: its stages in order.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use base::blocking;
use base::events::{Event, Phase, Reporter, Timings};
use base::files::{FileError, FileLock};
use image::arch::Arch;
use image::manifest::{self, Boot, Build, ContainerImage, Debian, Manifest};
use image::stack::MachineSize;
use tempfile::TempDir;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm::boot_files::BootFiles;
use vm::disk::Conversion;
use vm::machine::DiskFile;

use crate::base::{Maker, Ready};
use crate::build::Request;
use crate::containers::{Composed, Layers};
use crate::disk::{self, Layout};
use crate::error::BuildError;
use crate::host_machine::HostMachine;
use crate::kernel::Kernel;
use crate::packages::{self, Installed};
use crate::place::Place;
use crate::provision::Run;
use crate::seed::Payload;
use crate::source::Source;
use crate::stackd::{Program, Recipe};
use crate::toolchain::Toolchain;
use crate::{esp, ext4, guest_files};

/// A disk whose system is complete, and its boot files.
struct Provisioned {
    disk: PathBuf,
    /// The directory that the disk is in.
    _dir: TempDir,
    kernel: Kernel,
    /// The fast initial RAM file system.
    initrd: PathBuf,
    /// The distribution's own.
    generic_initrd: Vec<u8>,
}

/// A build that is not up to date.
pub(crate) struct Job<'a> {
    /// The request.
    pub(crate) request: &'a Request,
    /// The image's description.
    pub(crate) source: &'a Source,
    /// The layers of its containers.
    pub(crate) layers: &'a Layers,
    /// What compiles the guest's program.
    pub(crate) toolchain: &'a Toolchain,
    /// The commit that it is built from.
    pub(crate) commit: &'a str,
    /// Where things are on the disk.
    pub(crate) layout: Layout,
    /// Where the image goes.
    pub(crate) place: &'a Place,
    /// Directory for the logs.
    pub(crate) logs: &'a Path,
    /// Where progress is reported.
    pub(crate) reporter: &'a Timings<'a>,
}

impl Job<'_> {
    /// Runs all stages; the manifest gets `inputs`. What `before_replacing` returns is held while the image is put into its place.
    pub(crate) async fn run(
        &self,
        inputs: BTreeMap<String, String>,
        before_replacing: impl AsyncFnOnce() -> Result<Option<FileLock>, FileError>,
    ) -> Result<BootFiles, BuildError> {
        let Self { request, source, layout, place, logs, reporter, .. } = *self;
        let machine =
            HostMachine::find(request.home.clone(), request.arch, self.size(), request.limits).await?;
        let work = place.work_dir()?;
        let work = work.path();

        let recipe = Recipe::of(&source.described);
        let program =
            Program::new(self.toolchain, &request.workspace, recipe, logs.join("cargo.log"), reporter);
        let maker = Maker {
            arch: request.arch,
            source,
            layout,
            cache: &request.cache,
            logs,
            binfmt: request.binfmt,
            machine: &machine,
            program: &program,
            reporter,
        };
        // At the same time, unless the base is built with that program.
        let (_, base) = tokio::try_join!(async { program.file().await.map_err(BuildError::from) }, async {
            Ok(request.base.ensure(&maker, request.refresh_base).await?)
        },)?;
        let provisioned = match self.provisioned(&maker, base, &logs.join("machine"), work).await {
            Err(BuildError::Provision(error)) if error.is_passing() => {
                let text = error.to_string();
                let what = text.lines().next().unwrap_or_default().trim_end_matches(':');
                reporter.report(&Event::Notice(&format!("{what}: starting again from a fresh disk")));
                let base = request.base.ensure(&maker, false).await?;
                self.provisioned(&maker, base, &logs.join("machine-again"), work).await?
            }
            result => result?,
        };
        let Provisioned { disk, _dir, kernel, initrd, generic_initrd } = provisioned;

        let phase = Phase::start(reporter, "boot-files", "Check the disk and write the boot partition");
        ext4::check(&disk, layout.root.start).await.map_err(BuildError::RootDamaged)?;
        let build = self.build_info();
        {
            let (disk, arch, source) = (disk.clone(), request.arch, source.clone());
            let initrds = (initrd, generic_initrd);
            blocking::run(move || write_esp(&disk, layout, arch, &kernel, &initrds, &source, build, inputs))
                .await?;
        }
        phase.done();

        let image = work.join(request.arch.image_file());
        let phase = Phase::start(reporter, "compress", "Compress the image");
        let img = machine.qemu.img();
        let from = DiskFile::raw(&disk);
        img.convert(&Conversion { from: &from, to: &image, compress: true }).await?;
        img.check(&image).await?;
        phase.done();

        let phase = Phase::start(reporter, "publish", "Move the image into place");
        let _alone = before_replacing().await?;
        base::files::publish(&image, &place.image)?;
        let files = BootFiles::at(&place.image, &place.boot_files, request.arch, img).await?;
        phase.done();
        Ok(files)
    }

    /// Lays out a disk with a copy of the base, and lets a machine provision it.
    async fn provisioned(
        &self,
        maker: &Maker<'_>,
        base: Ready,
        logs: &Path,
        work: &Path,
    ) -> Result<Provisioned, BuildError> {
        let Self { request, source, layers, layout, reporter, .. } = *self;
        fs::create_dir_all(logs).map_err(FileError::of("create", logs))?;
        let phase = Phase::start(reporter, "disk", "Lay out the disk");
        let dir = tempfile::tempdir_in(work).map_err(FileError::of("create a directory in", work))?;
        let work = dir.path().to_owned();
        let disk = work.join("disk.raw");
        let stackd = maker.program.file().await?;
        let (kernel, generic_initrd, boot) = {
            let (disk, root, work) = (disk.clone(), base.root.clone(), work.clone());
            let (source, stackd, arch) = (source.clone(), stackd.to_owned(), request.arch);
            blocking::run(move || -> Result<_, BuildError> {
                let reader = ext4::Reader::open(&root, 0)?;
                let kernel = Kernel::read(&reader, &source)?;
                let generic_initrd = kernel.generic_initrd(&reader)?;
                let boot = kernel.write(&work, &stackd, &source.cmdline)?;
                disk::create(&disk, layout, arch, &root)?;
                Ok((kernel, generic_initrd, boot))
            })
            .await?
        };
        // From here on the base may be removed by others.
        drop(base);
        phase.done();

        let bundle = guest_files::bundle(source, layers, stackd)?;
        let payload = Payload { seed: &source.seed()?, bundle: &bundle };
        let run =
            Run { machine: maker.machine, disk: &disk, boot: &boot, payload, work: &work, logs, reporter };
        run.run().await?;
        Ok(Provisioned { disk, _dir: dir, kernel, initrd: boot.initrd, generic_initrd })
    }

    fn size(&self) -> MachineSize {
        let own = self.source.described.stack.machine;
        MachineSize {
            memory_mib: self.request.memory_mib.unwrap_or(own.memory_mib),
            cpus: self.request.cpus.unwrap_or(own.cpus),
            disk_gib: own.disk_gib,
        }
    }

    fn build_info(&self) -> Build {
        let time = OffsetDateTime::now_utc().replace_nanosecond(0).expect("zero is a nanosecond");
        Build {
            git_sha: self.commit.to_owned(),
            time: time.format(&Rfc3339).expect("a time of this millennium has the format"),
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "everything that the partition is made from, once")]
fn write_esp(
    disk: &Path,
    layout: Layout,
    arch: Arch,
    kernel: &Kernel,
    (fast_initrd, generic_initrd): &(PathBuf, Vec<u8>),
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
        stack: source.described.stack.clone(),
        images: source.composed.as_ref().map(container_images).unwrap_or_default(),
        resume_protocol: protocol::VERSION,
        minimum_qemu: manifest::MINIMUM_QEMU.to_owned(),
        inputs,
    };
    let parts = esp::Parts {
        loader: &root.read(esp::loader_in_root(arch))?,
        kernel: &kernel.image,
        fast_initrd: &fs::read(fast_initrd).map_err(FileError::of("read", fast_initrd))?,
        generic_initrd,
        manifest: &manifest.to_json(),
    };
    esp::volume(arch, parts)?.write_esp(disk, layout.esp.start, layout.esp.len)?;
    Ok(())
}

/// The images of the containers, as the manifest has them.
fn container_images(composed: &Composed) -> BTreeMap<String, ContainerImage> {
    let record = |image: &oci::Image| ContainerImage {
        reference: image.reference.clone(),
        id: format!("sha256:{}", image.id),
        layers: image.layers.iter().map(|layer| format!("sha256:{}", layer.diff_id)).collect(),
    };
    composed.images.iter().map(|(name, image)| (name.clone(), record(image))).collect()
}
