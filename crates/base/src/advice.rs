//! What a person can do about an error of the file system.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::dangling::Dangling;

/// What to do about `error`, which the operating system gave for `path`; `None` where the error says it all.
pub fn about(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => denied(path),
        io::ErrorKind::StaleNetworkFileHandle => Some(
            "the file server has lost it or put another in its place: mount the file system again".to_owned(),
        ),
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "the file system is mounted read-only: mount it for writing, or choose another place".to_owned(),
        ),
        io::ErrorKind::FileTooLarge => {
            Some("allow longer files with `ulimit -f unlimited`, in the shell that starts this".to_owned())
        }
        io::ErrorKind::OutOfMemory => Some(match crate::limits::described() {
            Some(limits) => format!("free memory, or raise the limit ({limits})"),
            None => "free memory".to_owned(),
        }),
        _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
            Some("allow more open files with `ulimit -n 1024`, in the shell that starts this".to_owned())
        }
        _ if let Some(dangling) = error.get_ref().and_then(|error| error.downcast_ref::<Dangling>()) => {
            Some(dangling.advice())
        }
        _ if error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error()) => Some(
            "the disk below, or the file server, has failed: look at `dmesg`, and do not write to it"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Returns the owner, if it is another user. Taking over is advised only below the user's own home directory.
fn denied(path: &Path) -> Option<String> {
    let user = rustix::process::geteuid().as_raw();
    let owner = |path: &Path| path.symlink_metadata().map(|data| data.uid()).ok();
    let (mut stranger, other) = path.ancestors().find_map(|path| Some((path, owner(path)?)))?;
    if other == user {
        return None;
    }
    while let Some(parent) = stranger.parent().filter(|parent| owner(parent) == Some(other)) {
        stranger = parent;
    }
    let own = stranger.parent().is_some_and(|parent| owner(parent) == Some(user));
    Some(if own { take_over(stranger, other) } else { format!("it belongs to {}", name(other)) })
}

/// How to take over the tree at `path`, which belongs to the user with the number `owner`.
pub fn take_over(path: &Path, owner: u32) -> String {
    format!(
        "`{0}` belongs to {1}: take it over with `sudo chown -R \"$USER\" '{0}'`",
        path.display(),
        name(owner)
    )
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process may not look into the directory at `path`.
pub fn is_closed(path: &Path) -> bool {
    let look = rustix::fs::Access::READ_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(path, look).is_err()
}

/// A user as people know them.
pub fn name(user: u32) -> String {
    if user == 0 { "root".to_owned() } else { format!("user {user}") }
}

/// The directory at `path`, or the next one above it that there is, if it belongs to another user; and to which.
pub fn stranger(path: &Path) -> Option<(PathBuf, u32)> {
    let user = rustix::process::geteuid().as_raw();
    let (dir, data) = path.ancestors().find_map(|dir| Some((dir, dir.metadata().ok()?)))?;
    (data.uid() != user).then(|| (dir.to_owned(), data.uid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_failed_below_is_told_from_what_is_merely_gone() {
        let about = |error: rustix::io::Errno| about(Path::new("/x"), &error.into());
        assert!(about(rustix::io::Errno::STALE).unwrap().contains("mount the file system again"));
        assert!(about(rustix::io::Errno::IO).unwrap().contains("dmesg"));
        assert!(about(rustix::io::Errno::FBIG).unwrap().contains("ulimit -f"));
        assert!(about(rustix::io::Errno::MFILE).unwrap().contains("ulimit -n"));
        assert!(about(rustix::io::Errno::NOMEM).unwrap().contains("free memory"));
        assert!(about(rustix::io::Errno::ROFS).unwrap().contains("read-only"));
        assert_eq!(about(rustix::io::Errno::NOENT), None);
    }

    #[test]
    fn a_tree_is_taken_over_by_its_path_and_its_owner_is_named() {
        assert_eq!(
            take_over(Path::new("/home/me/.stack"), 0),
            "`/home/me/.stack` belongs to root: take it over with `sudo chown -R \"$USER\" '/home/me/.stack'`"
        );
        assert!(take_over(Path::new("/h"), 1001).contains("belongs to user 1001"));
    }
}
