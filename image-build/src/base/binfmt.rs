//! Programs of another architecture on this host: the kernel gives them to qemu-user, where `binfmt_misc` has a handler for them
//! (Documentation/admin-guide/binfmt-misc.rst in the kernel's sources).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::process::{Cmd, ProcessError};
use image::arch::Arch;

/// Where the kernel shows and takes handlers.
const KERNEL: &str = "/proc/sys/fs/binfmt_misc";

/// Where distributions' packages of qemu-user describe them, in the form that the kernel takes.
const DESCRIPTIONS: &str = "/usr/lib/binfmt.d";

/// Why programs of another architecture do not run on this host. Its text is a clause.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoHandler {
    /// The host has no qemu-user for them.
    #[error("there is no description of a handler in `{DESCRIPTIONS}`: qemu-user is not installed")]
    NotInstalled,
    /// The kernel's file system is not there and cannot be mounted.
    #[error("`{KERNEL}` is not mounted")]
    NotMounted(#[source] ProcessError),
    /// The kernel refuses the handler, or this user may not register one.
    #[error("the handler `{}` cannot be registered", description.display())]
    NotRegistered {
        /// Its description.
        description: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// There is a handler that is switched off, or whose program is hidden by a change of root.
    #[error("the handler `{0}` is disabled, or has no flag `F`")]
    Unfit(String),
}

/// The handler with which programs of another architecture run on this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Handler {
    /// It was registered before.
    Found(String),
    /// It has been registered now, and stays until this machine restarts.
    Registered(String),
}

/// Makes programs of `arch` run on this host.
///
/// # Errors
/// When they cannot.
pub(super) async fn ensure(arch: Arch) -> Result<Handler, NoHandler> {
    let kernel = Path::new(KERNEL);
    let names = names(arch);
    if let Some(name) = found(kernel, &names)? {
        return Ok(Handler::Found(name));
    }
    let described = names.iter().map(|name| Path::new(DESCRIPTIONS).join(format!("{name}.conf")));
    let description = described.into_iter().find(|path| path.exists()).ok_or(NoHandler::NotInstalled)?;
    if !kernel.join("register").exists() {
        let mount = Cmd::new("mount").args(["-t", "binfmt_misc", "binfmt_misc", KERNEL]);
        mount.output().await.map_err(NoHandler::NotMounted)?;
        if let Some(name) = found(kernel, &names)? {
            return Ok(Handler::Found(name));
        }
    }
    let register = fs::read(&description).and_then(|text| fs::write(kernel.join("register"), text));
    register.map_err(|source| NoHandler::NotRegistered { description, source })?;
    found(kernel, &names)?.map(Handler::Registered).ok_or(NoHandler::NotInstalled)
}

/// The names of handlers for `arch`.
fn names(arch: Arch) -> [String; 2] {
    [format!("qemu-{}", arch.qemu()), format!("qemu-{}-static", arch.qemu())]
}

/// The first handler of these names that `kernel` shows, if it can be used in another root.
fn found(kernel: &Path, names: &[String]) -> Result<Option<String>, NoHandler> {
    for name in names {
        if let Ok(text) = fs::read_to_string(kernel.join(name)) {
            let fixed =
                text.lines().any(|line| line.strip_prefix("flags:").is_some_and(|flags| flags.contains('F')));
            let fit = text.starts_with("enabled") && fixed;
            return if fit { Ok(Some(name.clone())) } else { Err(NoHandler::Unfit(name.clone())) };
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(text: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("qemu-aarch64"), text).unwrap();
        dir
    }

    #[test]
    fn a_handler_counts_when_it_is_enabled_and_its_program_is_held_open() {
        let names = names(Arch::Arm64);
        let fit = kernel("enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: POF\noffset 0\n");
        assert_eq!(found(fit.path(), &names).unwrap(), Some("qemu-aarch64".to_owned()));
        for text in ["disabled\ninterpreter /x\nflags: F\n", "enabled\ninterpreter /x\nflags: OC\n"] {
            assert!(matches!(found(kernel(text).path(), &names), Err(NoHandler::Unfit(_))), "{text}");
        }
        assert_eq!(found(Path::new("/no/such/dir"), &names).unwrap(), None);
    }
}
