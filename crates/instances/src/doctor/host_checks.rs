//! Checks of the host's file system.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use vm::error::Explain;
use vm::home::Home;
use vm::runtime;

use super::Check;
use vm::backlog;

/// Free space below which a start is not worth trying, in bytes: an overlay starts empty, and QEMU stops the guest when it cannot grow.
const SPACE_NEEDED: u64 = 1 << 30;

/// Free space below which a guest that writes much may fail later, in bytes.
const SPACE_COMFORTABLE: u64 = 5 << 30;

/// Permission bits of all users but the owner.
const OTHERS: u32 = 0o077;

/// Checks that the home belongs to this user alone.
pub(super) fn home(root: &Path) -> Check {
    const NAME: &str = "home";
    let shown = root.display();
    if let Err(error) = Home::new(root).check_writable() {
        return Check::failed(NAME, &error, error.hint());
    }
    let data = match std::fs::metadata(root) {
        Ok(data) => data,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::ok(NAME, format!("`{shown}` will be made by the first start"));
        }
        Err(error) => return Check::fail(NAME, format!("cannot look at `{shown}`: {error}"), None),
    };
    let user = rustix::process::getuid().as_raw();
    if !data.is_dir() || data.uid() != user {
        let hint = "set `STACK_EMULATOR_HOME` to a directory of your own".to_owned();
        return Check::fail(NAME, format!("`{shown}` is not a directory of user {user}"), Some(hint));
    }
    if data.mode() & OTHERS != 0 {
        let text = format!("others may enter `{shown}` (mode {:o})", data.mode() & 0o7777);
        return Check::warn(NAME, text, Some(format!("run `chmod 700 {shown}`")));
    }
    Check::ok(NAME, format!("`{shown}` is private"))
}

/// Checks that there is room for an overlay.
pub(super) fn disk_space(root: &Path) -> Check {
    const NAME: &str = "disk-space";
    // A home that does not exist yet will be on the file system of its nearest parent.
    let Some(existing) = root.ancestors().find(|dir| dir.exists()) else {
        return Check::fail(NAME, format!("`{}` has no parent", root.display()), None);
    };
    let free = match rustix::fs::statvfs(existing) {
        Ok(fs) => fs.f_bavail.saturating_mul(fs.f_frsize),
        Err(error) => {
            let text = format!("cannot ask for the free space of `{}`: {error}", existing.display());
            return Check::fail(NAME, text, None);
        }
    };
    space(free, root)
}

fn space(free: u64, root: &Path) -> Check {
    const NAME: &str = "disk-space";
    let gib = free as f64 / f64::from(1 << 30);
    let text = format!("{gib:.1} GiB free for `{}`", root.display());
    let hint = || Some("make room, or move the home with `STACK_EMULATOR_HOME`".to_owned());
    match free {
        free if free < SPACE_NEEDED => Check::fail(NAME, text, hint()),
        free if free < SPACE_COMFORTABLE => Check::warn(NAME, text, hint()),
        _ => Check::ok(NAME, text),
    }
}

/// Checks that there is a private directory with a short path for sockets.
pub(super) fn sockets(instance: &Path) -> Check {
    const NAME: &str = "sockets";
    // A directory of its own, so that it does not affect an instance.
    let owner = instance.with_file_name(".doctor");
    let tried = runtime::ensure(&owner);
    // What is left is empty.
    let _ = runtime::remove(&owner);
    let _ = std::fs::remove_dir(&owner);
    match tried {
        Ok(dir) => Check::ok(NAME, format!("in `{}` ({} bytes long)", dir.display(), dir.as_os_str().len())),
        Err(error) => Check::failed(NAME, &error, error.hint()),
    }
}

/// Checks that many connections at once are answered. `None` if they are, as usual.
pub(super) fn connections() -> Option<Check> {
    let error = backlog::is_possible().err()?;
    let text = format!("of many connections at once to one port some are reset: {error}");
    Some(Check::warn("connections", text, Some(error.hint().to_owned())))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_home_that_others_may_enter_is_a_warning_with_a_command() {
        let dir = tempfile::tempdir().unwrap();
        let set_mode = |mode| std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(mode));
        set_mode(0o700).unwrap();
        assert_eq!(home(dir.path()).verdict, Verdict::Ok);
        set_mode(0o755).unwrap();
        let check = home(dir.path());
        assert_eq!(check.verdict, Verdict::Warn);
        assert_eq!(check.hint.unwrap(), format!("run `chmod 700 {}`", dir.path().display()));
        assert_eq!(home(&dir.path().join("none")).verdict, Verdict::Ok);
        let file = dir.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(home(&file).verdict, Verdict::Fail);
    }

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let root = Path::new("/h");
        assert_eq!(space(100 << 30, root).verdict, Verdict::Ok);
        assert_eq!(space(SPACE_COMFORTABLE - 1, root).verdict, Verdict::Warn);
        let check = space(SPACE_NEEDED / 2, root);
        assert_eq!((check.verdict, check.text.as_str()), (Verdict::Fail, "0.5 GiB free for `/h`"));
        assert_ne!(disk_space(Path::new("/no/such/home")).text, "");
    }
}
