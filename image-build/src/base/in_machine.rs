//! Finishing a base in a virtual machine: it installs the packages and runs the hooks, on the file system that becomes the base.

use std::fs;
use std::path::Path;

use base::files::FileError;

use super::{BaseError, Maker};
use crate::bundle::{Bundle, PACKAGES_PATH, STACKD_PATH};
use crate::kernel::Kernel;
use crate::provision::Run;
use crate::seed::Payload;
use crate::{disk, ext4};

/// The directory of steps in a description, below the directory of the kind of base that they belong to.
pub(super) const STEPS: &str = "steps.d";

/// The path of the base's description in the machine.
const BASE_IN_GUEST: &str = "usr/lib/stack/base";

/// The path of the steps there.
const STEPS_IN_GUEST: &str = "usr/lib/stack/base/steps.d";

/// Boots the file system `root` with `cmdline`, and copies it back when its machine has run `steps`, and those that every such machine
/// runs. `seed` has the instructions for cloud-init, where that is installed.
///
/// # Errors
/// When the machine cannot be created, or a step fails.
pub(super) async fn install(
    maker: &Maker<'_>,
    work: &Path,
    root: &Path,
    seed: &[(&str, Vec<u8>)],
    steps: &Path,
    cmdline: &str,
) -> Result<(), BaseError> {
    let logs = maker.logs.join("base");
    fs::create_dir_all(&logs).map_err(FileError::of("create", &logs))?;
    let scratch = tempfile::tempdir_in(work).map_err(FileError::of("create a directory in", work))?;
    let disk = scratch.path().join("disk.raw");
    let kernel = Kernel::read(&ext4::Reader::open(root, 0)?, maker.source)?;
    let stackd = maker.program.file().await?;
    let boot = kernel.write(scratch.path(), stackd, cmdline)?;
    disk::create(&disk, maker.layout, maker.arch, root)?;
    let mut bundle = Bundle::default();
    for base in maker.source.base() {
        bundle.tree(&base, BASE_IN_GUEST)?;
    }
    bundle.tree(&maker.source.machine().join(STEPS), STEPS_IN_GUEST)?;
    bundle.tree(steps, STEPS_IN_GUEST)?;
    bundle.text(PACKAGES_PATH, maker.source.base_packages().join("\n") + "\n")?;
    bundle.file(stackd, STACKD_PATH)?;
    let run = Run {
        machine: maker.machine,
        disk: &disk,
        boot: &boot,
        payload: Payload { seed, bundle: &bundle },
        work: scratch.path(),
        logs: &logs,
        reporter: maker.reporter,
    };
    run.run().await?;
    ext4::check(&disk, maker.layout.root.start).await?;
    disk::take_root(&disk, maker.layout, root)?;
    Ok(())
}
