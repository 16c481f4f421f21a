//! The command to run next, for errors that know it.

use host::packages::PackagesError;
use release::publish::PublishError;
use vm::error::Explain;

/// The hint of the outermost error that has one.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let qemu = cause.downcast_ref::<qemu_build::BuildError>().map(qemu_build::BuildError::hint);
        let image = cause.downcast_ref::<image_build::error::BuildError>().map(Explain::hint);
        let setup = cause.downcast_ref::<PackagesError>().map(PackagesError::hint);
        let publish = cause.downcast_ref::<PublishError>().map(PublishError::hint);
        qemu.or(image).or(setup).or(publish).flatten()
    })
}
