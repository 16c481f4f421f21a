//! Where sockets live: a short private directory, because a unix socket's path must fit into 104 bytes and a home
//! directory can be deep.

use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use host::digest;
use host::files::FileError;

use crate::error::{Class, Explain};
use crate::machine::SOCKET_PATH_LIMIT;

/// Bytes kept for a socket's name behind the directory.
const NAME_ROOM: usize = 16;

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
            Self::NotPrivate { path, .. } => {
                Some(format!("remove `{}` or set `XDG_RUNTIME_DIR` to a private directory", path.display()))
            }
            Self::TooLong(_) | Self::File(_) => {
                Some("set `XDG_RUNTIME_DIR` to a short private directory, or unset it".to_owned())
            }
        }
    }
}

/// Makes sure of the private directory for the sockets of what lives at `owner` (an instance's directory, say): the
/// same directory for the same path, `$XDG_RUNTIME_DIR/stack-emulator/<hash>` or `/tmp/stack-emulator-<uid>/<hash>`.
///
/// # Errors
/// When it cannot be made, or is not this user's alone.
pub fn ensure(owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let path = path_for(owner)?;
    let parent = path.parent().unwrap_or(&path);
    for dir in [parent, &path] {
        match std::fs::DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(FileError::of("create", dir)(error).into());
            }
            _ => check_private(dir)?,
        }
    }
    Ok(path)
}

/// The directory that [`ensure`] makes, without touching anything.
///
/// # Errors
/// When sockets in it would have too long a path.
pub fn path_for(owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    below(base.as_deref(), rustix::process::getuid().as_raw(), owner)
}

fn below(runtime: Option<&Path>, user: u32, owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    let hash = &digest::of_bytes(owner.as_os_str().as_encoded_bytes())[..HASH_DIGITS];
    let fits = |dir: &PathBuf| dir.as_os_str().len() + 1 + NAME_ROOM <= SOCKET_PATH_LIMIT;
    let runtime = runtime.filter(|dir| dir.is_absolute() && dir.is_dir());
    let preferred = runtime.map(|dir| dir.join("stack-emulator").join(hash)).filter(fits);
    let fallback = || PathBuf::from(format!("/tmp/stack-emulator-{user}")).join(hash);
    let dir = preferred.unwrap_or_else(fallback);
    if fits(&dir) { Ok(dir) } else { Err(RuntimeDirError::TooLong(dir)) }
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
    fn a_deep_owner_gets_a_short_directory() {
        let owner = PathBuf::from(format!("/{}", "deep/".repeat(60)));
        let runtime = tempfile::tempdir().unwrap();
        let dir = below(Some(runtime.path()), 1000, &owner).unwrap();
        assert!(dir.starts_with(runtime.path().join("stack-emulator")));
        assert_eq!(dir, below(Some(runtime.path()), 1000, &owner).unwrap());
    }

    #[test]
    fn a_runtime_directory_that_is_missing_or_too_long_is_passed_over() {
        let root = tempfile::tempdir().unwrap();
        let long = root.path().join("x".repeat(90));
        std::fs::create_dir(&long).unwrap();
        for runtime in [Some(long.as_path()), Some(Path::new("/no/such/dir")), Some(Path::new("rel")), None] {
            let dir = below(runtime, 1000, Path::new("/owner")).unwrap();
            assert!(dir.starts_with("/tmp/stack-emulator-1000"), "{}", dir.display());
        }
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
