//! The command to run next, for errors that know it.

use qemu_build::BuildError;

/// The hint of the outermost error that has one.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| cause.downcast_ref::<BuildError>()?.hint())
}
