//! Which command helps. The libraries say what is wrong, by the types of their errors, and what helps on the host; what a
//! person types next is said here.

mod instance;
mod pull;

use std::error::Error;
use std::iter;
use std::path::Path;

use base::advice;
use fetch::local::LocalError;
use image::arch::Arch;
use image::manifest::ManifestError;
use instances::images::files::other_stacks;
use instances::name::InstanceName;
use instances::snapshot::error::SnapshotError;
use protocol::exec::FailureKind;
use vm::accel::{AccelError, Unusable};
use vm::boot_files::BootFilesError;
use vm::error::Explain;
use vm::exec::ExecError;
use vm::home::HOME_VARIABLE;
use vm::proven::ImageError;
use vm::qemu::QemuError;

use crate::diagnosis::DiagnosisError;
use crate::errors::CommandError;
use crate::target;
use crate::uninstallation::UninstallError;

/// What to do about the failure of a command about the instance `name`.
pub(crate) fn of(error: &CommandError, name: &InstanceName) -> Option<String> {
    match error {
        CommandError::Instance(error) => about(error, name),
        CommandError::Vm(error) => about(error, name),
        CommandError::Home(error) => about(error, name),
        CommandError::Pull(error) => pull::of(error, name),
        CommandError::Settings(error) => Some(error.hint()),
        CommandError::OtherStack { own, .. } => Some(format!(
            "leave out `--stack`, use `--stack {own}`, or name another instance with `--instance`"
        )),
        CommandError::ForeignHome { path, owner } => {
            let take_over = advice::take_over(path, *owner);
            Some(format!("{take_over}; or set `{HOME_VARIABLE}` to another directory"))
        }
        CommandError::Unnamed => Some(format!(
            "the one that commands act on here is `emulator delete {name}`; see `emulator list`"
        )),
        CommandError::NotConfirmed { command, .. } => {
            Some(format!("confirm with `emulator {command} --yes`"))
        }
        CommandError::Unwritable { name, .. } => {
            Some(format!("use another format: `emulator env{} -o shell`, or `-o json`", flag(name)))
        }
        CommandError::Uninstall(error) => uninstall(error, name),
        CommandError::Diagnosis(DiagnosisError::File(error)) => error.hint(),
        CommandError::Diagnosis(_)
        | CommandError::Command(_)
        | CommandError::Interrupted(_)
        | CommandError::Variable(_)
        | CommandError::Name(_)
        | CommandError::Stdout(_)
        | CommandError::Ask(_)
        | CommandError::Runtime(_) => None,
    }
}

fn uninstall(error: &UninstallError, name: &InstanceName) -> Option<String> {
    match error {
        UninstallError::Running(names) => {
            let stops: Vec<_> = names.iter().map(|name| format!("`emulator stop{}`", flag(name))).collect();
            Some(format!("stop them: {}; or end them with `emulator uninstall --yes`", stops.join(", ")))
        }
        UninstallError::NotConfirmed => Some("confirm with `emulator uninstall --yes`".to_owned()),
        UninstallError::Program { .. } => Some("run this as a user who may remove the program".to_owned()),
        UninstallError::Elsewhere { source, .. } => source.hint(),
        UninstallError::Instance(error) => about(error, name),
        UninstallError::File(error) => error.hint(),
    }
}

/// What to do about an error of the libraries, where the command was about the instance `name`.
pub(crate) fn about(error: &(dyn Explain + 'static), name: &InstanceName) -> Option<String> {
    let flag = flag(name);
    let passed_on = iter::successors(Some(error), |error| error.below());
    passed_on.into_iter().find_map(|error| command(error, &flag)).or_else(|| error.hint())
}

/// The flag that names the instance, with a space before it; nothing for the one that commands without a flag act on here.
pub(crate) fn flag(name: &InstanceName) -> String {
    let here = target::here();
    if *name == here {
        return String::new();
    }
    // The environment may name an instance, and then one for all architectures.
    let is_default = here == InstanceName::default();
    match Arch::ALL.into_iter().find(|arch| is_default && InstanceName::default_for(*arch) == *name) {
        Some(arch) => format!(" --arch {arch}"),
        None => format!(" --instance {name}"),
    }
}

/// What to do about secrets of which it is unknown whether the guest has them.
pub(crate) fn unconfirmed(name: &InstanceName) -> String {
    format!(
        "these secrets were sent to the guest, which did not confirm them: renew them with `emulator rotate{}`",
        flag(name)
    )
}

/// What to do about the data of the instance `name` on an image that the one at `newer` has replaced.
pub(crate) fn newer_image(newer: &Path, name: &InstanceName) -> String {
    let flag = flag(name);
    format!(
        "the data of `{name}` is on an older image than `{}`: to use that one, delete the data with `emulator reset{flag}`, then \
         `emulator start{flag}`",
        newer.display()
    )
}

/// The command that helps against this very error, where one does.
fn command(error: &(dyn Explain + 'static), flag: &str) -> Option<String> {
    let error: &(dyn Error + 'static) = error;
    let of_instance = error.downcast_ref().and_then(|error| instance::command(error, flag));
    of_instance
        .or_else(|| error.downcast_ref().and_then(snapshot))
        .or_else(|| error.downcast_ref().and_then(boot_files))
        .or_else(|| error.downcast_ref().and_then(image))
        .or_else(|| error.downcast_ref().and_then(qemu))
        .or_else(|| error.downcast_ref().and_then(accelerator))
        .or_else(|| error.downcast_ref().and_then(|error| exec(error, flag)))
        .or_else(|| error.downcast_ref().and_then(unusable))
}

fn snapshot(error: &SnapshotError) -> Option<String> {
    match error {
        SnapshotError::Impossible { .. } => {
            Some("run `cargo xtask build-qemu` in a checkout, or start with `--no-snapshot`".to_owned())
        }
        SnapshotError::NotReady(_) => Some("wait longer with `--timeout 5m`".to_owned()),
        _ => None,
    }
}

fn boot_files(error: &BootFilesError) -> Option<String> {
    Some(match error {
        BootFilesError::NoImage { arch, path } => no_image(*arch, path),
        BootFilesError::Local(error) => return local(error),
        BootFilesError::File(_) | BootFilesError::Image(_) | BootFilesError::Disk(_) => return None,
        BootFilesError::Manifest {
            source: ManifestError::Newer { .. } | ManifestError::Protocol { .. }, ..
        } => "update `emulator`, or use an older image".to_owned(),
        BootFilesError::Table { .. }
        | BootFilesError::NoEsp(_)
        | BootFilesError::LargeEsp { .. }
        | BootFilesError::Volume(_)
        | BootFilesError::OtherStack { .. }
        | BootFilesError::Manifest { .. }
        | BootFilesError::WrongArch { .. } => {
            "pull the image again with `emulator pull --force --repo OWNER/NAME`, or build it with `cargo xtask build-image ARCH` in a \
             checkout"
                .to_owned()
        }
    })
}

/// How to have the image for `arch` at `path`, or to use one of another stack that is there.
fn no_image(arch: Arch, path: &Path) -> String {
    let get = format!(
        "pull one with `emulator pull --repo OWNER/NAME`, or build one with `cargo xtask build-image {arch}` in a checkout"
    );
    let others: Vec<_> =
        other_stacks(path, arch).into_iter().map(|stack| format!("`--stack {stack}`")).collect();
    if others.is_empty() {
        return get;
    }
    format!("there is an image of another stack, for {}; or {get}", others.join(", "))
}

fn image(error: &ImageError) -> Option<String> {
    match error {
        ImageError::NoFile { .. } | ImageError::Header { .. } | ImageError::Kind { .. } => {
            Some("name an image that `emulator pull` or `cargo xtask build-image` has made".to_owned())
        }
        ImageError::File(_) | ImageError::Partial { .. } => None,
    }
}

fn local(error: &LocalError) -> Option<String> {
    match error {
        LocalError::NotInside { wanted, .. } => Some(format!(
            "name the directory that `gh run download` has made, or `{wanted}` itself; `--arch` chooses the architecture"
        )),
        LocalError::WebPage(_) => Some(
            "pages that ask to sign in are saved like this: use `emulator pull --run ID`, `gh run download`, or a browser that is signed in"
                .to_owned(),
        ),
        _ => error.hint(),
    }
}

fn qemu(error: &QemuError) -> Option<String> {
    match error {
        QemuError::TooOld { .. } | QemuError::Missing { .. } | QemuError::NoMachine { .. } => {
            Some(format!("run `cargo xtask build-qemu` in a checkout, or {}", error.hint()?))
        }
        _ => None,
    }
}

fn accelerator(error: &AccelError) -> Option<String> {
    let AccelError::Unusable { reason, .. } = error else { return None };
    let general = "use `--accel auto`, which takes software emulation where nothing faster works";
    let special = unusable(reason).or_else(|| reason.hint());
    Some(special.map_or_else(|| general.to_owned(), |hint| format!("{hint}; or {general}")))
}

fn exec(error: &ExecError, flag: &str) -> Option<String> {
    match error {
        ExecError::Unknown => Some(format!(
            "pull a newer image with `emulator pull --repo OWNER/NAME`; then drop the data with `emulator reset{flag}`, and start again"
        )),
        ExecError::Failed { kind: FailureKind::NotRunning, .. } => {
            Some(format!("read `emulator logs{flag}`, or run the command as root, without a service"))
        }
        _ => None,
    }
}

fn unusable(reason: &Unusable) -> Option<String> {
    match reason {
        Unusable::NotBuiltIn => Some("run `cargo xtask build-qemu` in a checkout".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use vm::machine::Accelerator;
    use vm::version::Version;

    use super::*;

    fn hint(error: &(dyn Explain + 'static)) -> Option<String> {
        about(error, &InstanceName::default())
    }

    #[test]
    fn a_missing_image_is_pulled_or_built() {
        let error = || BootFilesError::NoImage { arch: Arch::Arm64, path: "/image".into() };
        assert!(hint(&error()).unwrap().contains("cargo xtask build-image arm64"));
        let wrapped = instances::failure::Error::from(error());
        assert_eq!(hint(&wrapped), hint(&error()), "whatever has passed it on");
    }

    #[test]
    fn a_missing_image_is_followed_by_those_of_other_stacks() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("shop-amd64.qcow2"), "").unwrap();
        let path = dir.path().join("stack-emulator-amd64.qcow2");
        let text = hint(&BootFilesError::NoImage { arch: Arch::Amd64, path }).unwrap();
        assert!(
            text.starts_with("there is an image of another stack, for `--stack shop`; or pull"),
            "{text}"
        );
    }

    #[test]
    fn a_qemu_that_is_too_old_is_built_or_installed() {
        let (found, minimum) = (Version::new(8, 0, 0), Version::new(10, 1, 0));
        let error = || QemuError::TooOld { path: "/q".into(), found, minimum };
        let hint_of_it = hint(&error()).unwrap();
        assert!(
            hint_of_it
                .starts_with("run `cargo xtask build-qemu` in a checkout, or install QEMU 10.1.0 or newer")
        );
        assert_eq!(hint(&SnapshotError::from(error())).unwrap(), hint_of_it);
    }

    #[test]
    fn an_accelerator_that_does_not_work_is_mended_or_left() {
        let error = |reason| AccelError::Unusable { accelerator: Accelerator::Kvm, reason };
        let denied = hint(&error(Unusable::NoPermission { user: 1000 })).unwrap();
        assert!(denied.contains("usermod -aG kvm") && denied.contains("; or use `--accel auto`"), "{denied}");
        let lacking = hint(&error(Unusable::NotBuiltIn)).unwrap();
        assert!(lacking.starts_with("run `cargo xtask build-qemu`"), "{lacking}");
        assert!(hint(&error(Unusable::Ended)).unwrap().starts_with("use `--accel auto`"));
        assert_eq!(hint(&Unusable::Ended), None, "in doctor");
    }

    #[test]
    fn data_on_an_older_image_has_a_way_to_the_newer_one() {
        let text = newer_image(Path::new("/images/shop-amd64.qcow2"), &"blue".parse().unwrap());
        insta::assert_snapshot!(text, @"the data of `blue` is on an older image than `/images/shop-amd64.qcow2`: to use that one, delete the data with `emulator reset --instance blue`, then `emulator start --instance blue`");
    }

    #[test]
    fn a_web_page_in_place_of_an_image_has_a_way_out() {
        let error = BootFilesError::Local(LocalError::WebPage("/image".into()));
        assert!(hint(&error).unwrap().contains("`emulator pull --run ID`"));
    }
}
