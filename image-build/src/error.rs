//! Why there is no image, and what to do about it.

use std::path::Path;

use base::files::FileError;
use base::process::ProcessError;
use base::space::NoSpace;
use fetch::download::DownloadError;
use vm::error::{Class, Explain};

use crate::base::BaseError;
use crate::bundle::BundleError;
use crate::commit::Untrusted;
use crate::containers::ContainersError;
use crate::disk::DiskError;
use crate::ext4::ReadError;
use crate::inputs::InputError;
use crate::kernel::KernelError;
use crate::packages::PackagesError;
use crate::provision::{CONSOLE_LOG, ProvisionError, Trouble};
use crate::source::SourceError;
use crate::stackd::StackdError;
use crate::toolchain::ToolchainError;

/// Why there is no image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The description is wrong.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A compose file and its images do not make a stack.
    #[error(transparent)]
    Containers(#[from] ContainersError),
    /// There is a commit that cannot be read.
    #[error(transparent)]
    Commit(#[from] Untrusted),
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Two parts of the image have the same file.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A file cannot be created or moved.
    #[error(transparent)]
    File(#[from] FileError),
    /// A disk is too full.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// There is no usable QEMU.
    #[error(transparent)]
    Qemu(#[from] vm::qemu::QemuError),
    /// There is nothing to build the guest's program with.
    #[error(transparent)]
    Toolchain(#[from] ToolchainError),
    /// The guest's program cannot be built.
    #[error(transparent)]
    Stackd(#[from] StackdError),
    /// There is no base.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The base has nothing to boot.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The disk cannot be laid out.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The root file system cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The machine was not provisioned.
    #[error(transparent)]
    Provision(#[from] ProvisionError),
    /// The root file system is not clean after the machine has powered off.
    #[error("the root file system is damaged after provisioning")]
    RootDamaged(#[source] ProcessError),
    /// The list of what is installed cannot be read.
    #[error(transparent)]
    Packages(#[from] PackagesError),
    /// The boot partition cannot be written.
    #[error(transparent)]
    Volume(#[from] vm::volume::VolumeError),
    /// The image cannot be compressed, or is damaged.
    #[error(transparent)]
    Image(#[from] vm::disk::DiskError),
    /// The finished image cannot be read back.
    #[error(transparent)]
    BootFiles(#[from] vm::boot_files::BootFilesError),
}

impl BuildError {
    /// Directory with the logs, where the error names it.
    pub fn logs(&self) -> Option<&Path> {
        match self {
            Self::Provision(ProvisionError::Guest(failure))
            | Self::Base(BaseError::Provision(ProvisionError::Guest(failure))) => Some(&failure.logs),
            _ => None,
        }
    }
}

impl Explain for BuildError {
    fn class(&self) -> Class {
        match self {
            Self::NoSpace(_) => Class::HostUnsupported,
            Self::Qemu(source) => source.class(),
            Self::Provision(ProvisionError::Guest(failure)) => match failure.trouble {
                Trouble::Silent(_) | Trouble::CpuStall | Trouble::TimedOut(_) => Class::TimedOut,
                _ => Class::Failed,
            },
            Self::RootDamaged(_) => Class::VerificationFailed,
            Self::Image(source) => source.class(),
            Self::BootFiles(source) => source.class(),
            _ => Class::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Toolchain(ToolchainError::None { arch, .. }) => Some(format!(
                "check the network, then `rustup target add {}-unknown-linux-musl`; or build the image on a machine of its architecture",
                arch.qemu()
            )),
            Self::Containers(source) => source.hint(),
            Self::Commit(source) => Some(source.hint()),
            Self::Source(SourceError::NoStack(_)) => Some(
                "name a compose file, or a directory with one (`docs/stacks.md`) or with a `stack.toml` (`docs/image.md`)".to_owned(),
            ),
            Self::Source(_) | Self::Bundle(BundleError::Taken { .. }) => {
                Some("`docs/image.md` lists the files of a stack's description".to_owned())
            }
            Self::NoSpace(full) => Some(format!(
                "free some space in `{}`, or set `STACK_EMULATOR_HOME` and `STACK_EMULATOR_CACHE` to directories on a larger disk",
                full.path.display()
            )),
            Self::Stackd(StackdError::Cargo(_)) => Some(
                "run `cargo build --release -p guest -p product -p services` to see the whole output"
                    .to_owned(),
            ),
            Self::Base(source) => base_hint(source),
            Self::Provision(source) => provision_hint(source),
            _ => self.below()?.hint(),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::Qemu(source) => Some(source),
            Self::Image(source) => Some(source),
            Self::BootFiles(source) => Some(source),
            Self::Provision(source) | Self::Base(BaseError::Provision(source)) => match source {
                ProvisionError::Type(source) => Some(source),
                ProvisionError::Accel(source) => Some(source),
                ProvisionError::Runtime(source) => Some(source),
                _ => None,
            },
            _ => None,
        }
    }
}

fn base_hint(error: &BaseError) -> Option<String> {
    match error {
        BaseError::Process(ProcessError::NotFound { .. }) => {
            Some("run `cargo xtask setup`, which installs what is missing".to_owned())
        }
        BaseError::Process(_) => Some(
            "if packages cannot be fetched, check the network and `apt-get update`; with `--base cloud` the build needs no Debian host"
                .to_owned(),
        ),
        BaseError::Download(error) if !matches!(**error, DownloadError::Digest { .. }) => Some(
            "fetch the image by other means and name it with `--cloud-image FILE`, or build with `--base bootstrap`".to_owned(),
        ),
        BaseError::Download(_) | BaseError::Verify(_) => Some(
            "another image than the pinned one is used with `--cloud-image FILE|URL --cloud-sha512 DIGEST`".to_owned(),
        ),
        BaseError::Provision(source) => provision_hint(source),
        _ => None,
    }
}

fn provision_hint(error: &ProvisionError) -> Option<String> {
    let failure = match error {
        ProvisionError::Guest(failure) => failure,
        ProvisionError::Type(source) => return source.hint(),
        ProvisionError::Accel(source) => return source.hint(),
        ProvisionError::Runtime(source) => return source.hint(),
        _ => return None,
    };
    let logs = failure.logs.display();
    Some(match failure.trouble {
        Trouble::DiskWrite(_) => {
            format!("free some space where the image is built and run it again; the logs are in `{logs}`")
        }
        Trouble::Silent(_) | Trouble::TimedOut(_) => format!(
            "look in `{logs}` for what it did last; a slow machine may need `--stall-timeout` or `--timeout`"
        ),
        Trouble::CpuStall => format!("run it again when the machine is less busy; the logs are in `{logs}`"),
        Trouble::Step(_) => format!(
            "the logs of all services are in `{}`, what else there is in `{logs}`",
            failure.logs.join(CONSOLE_LOG).display()
        ),
        _ => format!("the whole output is in `{logs}`"),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base::console::render_error;

    use super::*;
    use crate::provision::GuestFailure;

    fn rendered(error: &BuildError) -> String {
        render_error(error, error.hint().as_deref(), false)
    }

    #[test]
    fn a_full_disk_is_reported_before_anything_is_built() {
        let full =
            NoSpace { path: "/home".into(), what: "building an image", needed: 3 << 30, available: 1 << 30 };
        insta::assert_snapshot!(rendered(&full.into()), @r"
        error: `/home` has 1024 MiB of free space, but building an image needs 3072 MiB

        hint: free some space in `/home`, or set `STACK_EMULATOR_HOME` and `STACK_EMULATOR_CACHE` to directories on a larger disk
        ");
    }

    #[test]
    fn a_hanging_guest_is_reported_with_the_place_to_look() {
        let failure = GuestFailure {
            trouble: Trouble::Silent(Duration::from_secs(90)),
            step: Some("60-migrations".into()),
            tail: vec!["waiting".into()],
            logs: "/logs".into(),
        };
        let error = BuildError::from(ProvisionError::from(Box::new(failure)));
        assert_eq!(error.class(), Class::TimedOut);
        insta::assert_snapshot!(rendered(&error), @r"
        error: the guest hangs in step `60-migrations`: no sign of life for 90.0 s:
            waiting

        hint: look in `/logs` for what it did last; a slow machine may need `--stall-timeout` or `--timeout`
        ");
    }

    #[test]
    fn a_step_that_failed_is_reported_with_the_console() {
        let failure = GuestFailure {
            trouble: Trouble::Step("exited with status 1".into()),
            step: Some("70-services".into()),
            tail: vec!["error: `web` does not work".into()],
            logs: "/logs".into(),
        };
        insta::assert_snapshot!(rendered(&ProvisionError::from(Box::new(failure)).into()), @r"
        error: step `70-services` exited with status 1:
            error: `web` does not work

        hint: the logs of all services are in `/logs/console.log`, what else there is in `/logs`
        ");
    }

    #[test]
    fn a_missing_tool_names_the_task_that_installs_it() {
        let missing = ProcessError::NotFound { program: "mmdebstrap".into() };
        insta::assert_snapshot!(rendered(&BuildError::from(BaseError::from(missing))), @r"
        error: `mmdebstrap` is not installed or not on `PATH`

        hint: run `cargo xtask setup`, which installs what is missing
        ");
    }
}
