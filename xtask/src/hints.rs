//! The command to run next, for errors that know it.

use crate::host_qemu::FallbackError;
use crate::packages::PackagesError;
use image::arch::Arch;
use release::github::{ApiError, NoToken};
use release::publish::{PlanError, PublishError};
use vm::boot_files::BootFilesError;
use vm::error::Explain;
use vm::qemu::QemuError;

/// The hint of the outermost error that has one.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let qemu_build = cause.downcast_ref::<qemu_build::BuildError>().map(qemu_build::BuildError::hint);
        let image_build = cause.downcast_ref::<image_build::error::BuildError>().map(Explain::hint);
        let fallback = cause.downcast_ref::<FallbackError>().map(FallbackError::hint);
        let setup = cause.downcast_ref::<PackagesError>().map(|error| error.hint(host_arch().as_str()));
        let qemu = cause.downcast_ref::<QemuError>().map(Explain::hint);
        let image = cause.downcast_ref::<BootFilesError>().map(Explain::hint);
        let plan = cause.downcast_ref::<PlanError>().map(PlanError::hint);
        let publish = cause.downcast_ref::<PublishError>().map(PublishError::hint);
        let api = cause.downcast_ref::<ApiError>().map(ApiError::hint);
        let token = cause.downcast_ref::<NoToken>().map(|error| Some(error.hint()));
        let build = qemu_build.or(fallback).or(image_build).or(setup);
        build.or(qemu).or(image).or(plan).or(publish).or(api).or(token).flatten()
    })
}

/// The architecture of images that this host is likely to want: its own.
fn host_arch() -> Arch {
    Arch::host().unwrap_or(Arch::Amd64)
}
