//! Which task or program helps. The libraries say what is wrong, by the types of their errors, and what helps on the host.

use std::error::Error;
use std::iter;

use image::arch::Arch;
use image::manifest::ManifestError;
use release::github::{ApiError, NoToken};
use release::publish::{PlanError, PublishError};
use vm::accel::Unusable;
use vm::boot_files::BootFilesError;
use vm::error::Explain;
use vm::proven::ImageError;
use vm::qemu::QemuError;

use crate::host_qemu::FallbackError;
use crate::packages::PackagesError;

/// The hint of the outermost error that has one.
pub(crate) fn of(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        let qemu_build = cause.downcast_ref().map(qemu_build::BuildError::hint);
        let fallback = cause.downcast_ref().map(FallbackError::hint);
        let image_build = cause.downcast_ref::<image_build::error::BuildError>().map(|error| about(error));
        let setup = cause.downcast_ref().map(|error: &PackagesError| error.hint(host_arch().as_str()));
        let qemu = cause.downcast_ref::<QemuError>().map(|error| about(error));
        let image = cause.downcast_ref::<BootFilesError>().map(|error| about(error));
        let plan = cause.downcast_ref().map(|error| Some(plan(error)));
        let publish = cause.downcast_ref().map(PublishError::hint);
        let api = cause.downcast_ref().map(ApiError::hint);
        let token = cause.downcast_ref().map(|error: &NoToken| Some(error.hint()));
        let build = qemu_build.or(fallback).or(image_build).or(setup);
        build.or(qemu).or(image).or(plan).or(publish).or(api).or(token).flatten()
    })
}

/// What to do about an error of the libraries.
fn about(error: &(dyn Explain + 'static)) -> Option<String> {
    let passed_on = iter::successors(Some(error), |error| error.below());
    passed_on.into_iter().find_map(task).or_else(|| error.hint())
}

/// The task that helps against this very error, where one does.
fn task(error: &(dyn Explain + 'static)) -> Option<String> {
    let error: &(dyn Error + 'static) = error;
    let qemu = error.downcast_ref().and_then(qemu);
    qemu.or_else(|| error.downcast_ref().and_then(boot_files))
        .or_else(|| error.downcast_ref().and_then(image))
        .or_else(|| error.downcast_ref().and_then(unusable))
}

fn qemu(error: &QemuError) -> Option<String> {
    match error {
        QemuError::TooOld { .. } | QemuError::Missing { .. } | QemuError::NoMachine { .. } => {
            Some(format!("run `cargo xtask build-qemu`, or {}", error.hint()?))
        }
        _ => None,
    }
}

fn boot_files(error: &BootFilesError) -> Option<String> {
    match error {
        BootFilesError::NoImage { arch, .. } => {
            Some(format!("build one with `cargo xtask build-image {arch}`"))
        }
        BootFilesError::Local(_)
        | BootFilesError::File(_)
        | BootFilesError::Image(_)
        | BootFilesError::Disk(_) => None,
        BootFilesError::Manifest {
            source: ManifestError::Newer { .. } | ManifestError::Protocol { .. },
            ..
        } => Some("update this checkout, or use an older image".to_owned()),
        _ => Some("build the image again with `cargo xtask build-image ARCH`".to_owned()),
    }
}

fn image(error: &ImageError) -> Option<String> {
    match error {
        ImageError::NoFile { .. } | ImageError::Header { .. } | ImageError::Kind { .. } => {
            Some("name an image that `cargo xtask build-image` or `emulator pull` has made".to_owned())
        }
        ImageError::File(_) | ImageError::Partial { .. } => None,
    }
}

fn unusable(reason: &Unusable) -> Option<String> {
    match reason {
        Unusable::NotBuiltIn => Some("run `cargo xtask build-qemu`".to_owned()),
        _ => None,
    }
}

/// What to do where nothing can be published.
fn plan(error: &PlanError) -> String {
    match error {
        PlanError::NoImage { .. } => {
            "build one with `cargo xtask build-image amd64`, or name another directory with `--images`"
                .to_owned()
        }
        PlanError::Incomplete { arch, .. } => format!(
            "build it with `cargo xtask build-image {arch}`, or leave it out of this build's release for good with `--incomplete`"
        ),
        PlanError::NoArchive(_) => "make one with `cargo xtask dist`".to_owned(),
        PlanError::TooLarge { .. } => {
            "put less into the image: `docs/image.md` says what is in it".to_owned()
        }
        PlanError::NoCommit { .. } => {
            "commit all changes, then build it again with `cargo xtask build-image both --force`".to_owned()
        }
        PlanError::TwoCommits { .. } => {
            "build both from one commit with `cargo xtask build-image both`".to_owned()
        }
        PlanError::OtherStack { found, .. } => format!("publish it with `--stack {found}`"),
        PlanError::NoTime { .. } => "build it again with `cargo xtask build-image both`".to_owned(),
        PlanError::OtherVersion { version, .. } => {
            format!("set `version` in `Cargo.toml`, or tag the commit as `v{version}`")
        }
    }
}

/// The architecture of images that this host is likely to want: its own.
fn host_arch() -> Arch {
    Arch::host().unwrap_or(Arch::Amd64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_that_a_release_lacks_is_built() {
        let error = PlanError::Incomplete { dir: "/images".into(), arch: Arch::Arm64 };
        assert!(of(&error.into()).unwrap().contains("`cargo xtask build-image arm64`"));
    }

    #[test]
    fn a_hint_is_found_whatever_has_passed_the_error_on() {
        let error = BootFilesError::NoImage { arch: Arch::Arm64, path: "/image".into() };
        let error = image_build::error::BuildError::from(error);
        assert_eq!(of(&error.into()).unwrap(), "build one with `cargo xtask build-image arm64`");
    }
}
