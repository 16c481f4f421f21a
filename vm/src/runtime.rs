//! Where sockets live: a short private directory, because a unix socket's path must fit into 104 bytes and a home
//! directory can be deep.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use host::digest;
use host::files::FileError;
use host::variables;

use crate::error::{Class, Explain};
use crate::machine::SOCKET_PATH_LIMIT;

/// Bytes kept for a socket's name behind the directory.
const NAME_ROOM: usize = 16;

/// Name of the monitor's socket in the directory of an instance.
pub const QMP: &str = "qmp";

/// Where every user may make a directory, and which is short everywhere.
const SHARED: &str = "/tmp";

/// Hexadecimal digits of the digest that names a directory.
const HASH_DIGITS: usize = 16;

/// Why there is no place for sockets.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// The directory cannot be made or looked at.
    #[error(transparent)]
    File(#[from] FileError),
    /// Somebody else could reach the sockets in it.
    #[error("`{}` is not a directory of user {user} alone: it belongs to {owner} and has mode {mode:o}", path.display())]
    NotPrivate {
        /// The directory.
        path: PathBuf,
        /// Numeric id of the user who runs this program.
        user: u32,
        /// Numeric id of its owner.
        owner: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// Even the shortest directory is too long.
    #[error("socket paths in `{}` would be longer than {SOCKET_PATH_LIMIT} bytes", .0.display())]
    TooLong(PathBuf),
}

impl Explain for RuntimeDirError {
    fn class(&self) -> Class {
        Class::HostUnsupported
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotPrivate { path, .. } => Some(format!(
                "remove `{}`, or set `XDG_RUNTIME_DIR` to a short private directory",
                path.display()
            )),
            Self::TooLong(_) => Some("set `XDG_RUNTIME_DIR` to a shorter path".to_owned()),
            Self::File(source) => source.hint(),
        }
    }
}

/// Makes sure of the private directory for the sockets of what lives at `owner` (an instance's directory, say): the
/// same directory for the same path, `/tmp/stack-emulator-<uid>/<hash>`, or `$XDG_RUNTIME_DIR/stack-emulator/<hash>` where
/// somebody else has taken the first.
///
/// The second would be the usual place, but it goes when its user logs out, and the machine stays.
///
/// # Errors
/// When it cannot be made, or is not this user's alone.
pub fn ensure(owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let path = path_for(owner)?;
    restore(&path)?;
    Ok(path)
}

/// Makes sure of a directory that [`ensure`] has made, even if somebody has removed it since.
///
/// # Errors
/// As [`ensure`].
pub fn restore(path: &Path) -> Result<(), RuntimeDirError> {
    let parent = path.parent().unwrap_or(path);
    for dir in [parent, path] {
        match std::fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("create", dir)(error).into());
            }
            _ => check_private(dir)?,
        }
    }
    Ok(())
}

/// The directory that [`ensure`] makes, without touching anything.
///
/// # Errors
/// When sockets in it would have too long a path.
pub fn path_for(owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let base = variables::path("XDG_RUNTIME_DIR");
    below(Path::new(SHARED), base.as_deref(), rustix::process::getuid().as_raw(), owner)
}

fn below(shared: &Path, runtime: Option<&Path>, user: u32, owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let hash = &digest::of_bytes(owner.as_os_str().as_encoded_bytes())[..HASH_DIGITS];
    let usual = shared.join(format!("stack-emulator-{user}"));
    let taken = std::fs::symlink_metadata(&usual).is_ok_and(|data| data.uid() != user);
    let runtime = runtime.filter(|dir| taken && dir.is_absolute() && dir.is_dir());
    let dir = runtime.map_or(usual, |dir| dir.join("stack-emulator")).join(hash);
    let fits = dir.as_os_str().len() + 1 + NAME_ROOM <= SOCKET_PATH_LIMIT;
    if fits { Ok(dir) } else { Err(RuntimeDirError::TooLong(dir)) }
}

fn check_private(dir: &Path) -> Result<(), RuntimeDirError> {
    // Not followed: a link in a directory that others can write to could lead anywhere.
    let data = std::fs::symlink_metadata(dir).map_err(FileError::of("look at", dir))?;
    let user = rustix::process::getuid().as_raw();
    let mode = data.mode() & 0o7777;
    if data.is_dir() && data.uid() == user && mode & !0o700 == 0 {
        return Ok(());
    }
    Err(RuntimeDirError::NotPrivate { path: dir.to_owned(), user, owner: data.uid(), mode })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_deep_owner_gets_a_short_directory_that_outlives_a_login() {
        let owner = PathBuf::from(format!("/{}", "deep/".repeat(60)));
        let (shared, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let user = rustix::process::getuid().as_raw();
        let dir = || below(shared.path(), Some(runtime.path()), user, &owner).unwrap();
        let usual = shared.path().join(format!("stack-emulator-{user}"));
        assert!(dir().starts_with(&usual), "{}", dir().display());
        std::fs::create_dir(usual).unwrap();
        assert_eq!(dir(), dir());
        assert!(!dir().starts_with(runtime.path()));
    }

    #[test]
    fn where_somebody_else_has_taken_the_usual_place_the_users_own_is_taken_if_there_is_one() {
        let (shared, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // A user that this one is not.
        let user = rustix::process::getuid().as_raw() + 1;
        std::fs::create_dir(shared.path().join(format!("stack-emulator-{user}"))).unwrap();
        let dir = |runtime| below(shared.path(), runtime, user, Path::new("/owner"));
        assert!(dir(Some(runtime.path())).unwrap().starts_with(runtime.path()));
        for none in [Some(Path::new("/no/such/dir")), Some(Path::new("rel")), None] {
            assert!(dir(none).unwrap().starts_with(shared.path()));
        }
        let long = runtime.path().join("x".repeat(90));
        std::fs::create_dir(&long).unwrap();
        assert!(matches!(dir(Some(&long)), Err(RuntimeDirError::TooLong(_))));
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let root = tempfile::tempdir().unwrap();
        std::fs::set_permissions(root.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let error = check_private(root.path()).unwrap_err();
        assert!(matches!(error, RuntimeDirError::NotPrivate { mode: 0o755, .. }), "{error}");
    }

    #[test]
    fn a_link_in_place_of_the_directory_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        std::os::unix::fs::symlink(root.path(), &link).unwrap();
        assert!(check_private(&link).is_err());
    }
}
