//! Where sockets live: a short private directory, because a unix socket's path must fit into 104 bytes and a home
//! directory can be deep.

use std::error::Error as _;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use base::digest;
use base::files::{FileError, create_private_dir, remove_dir_if_there};
use base::variables;

use crate::error::{Class, Explain};
use crate::socket::PATH_LIMIT;

/// Bytes kept for a socket's name behind the directory.
const NAME_ROOM: usize = 16;

/// Name of the monitor's socket in the directory of an instance.
pub const QMP: &str = "qmp";

/// Where every user may make a directory, and which is short everywhere.
const SHARED: &str = "/tmp";

/// Variable with the directory that the system gives a user who is logged in.
const RUNTIME_VARIABLE: &str = "XDG_RUNTIME_DIR";

/// Name of the directory in the owner's own.
const INSIDE: &str = ".sockets";

/// A socket that shows whether there can be any, and is gone at once.
const TRIAL: &str = ".trial";

/// Hexadecimal digits of the digest that names a directory.
const HASH_DIGITS: usize = 16;

/// Why there is no place for sockets.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeDirError {
    /// The directory cannot be made or looked at, or takes no sockets.
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
    /// The directory is too long.
    #[error("socket paths in `{}` would be longer than {PATH_LIMIT} bytes", .0.display())]
    TooLong(PathBuf),
    /// None of the directories will do.
    #[error("there is no place for sockets: {}", .0.join("; "))]
    Nowhere(Vec<String>),
}

impl Explain for RuntimeDirError {
    fn class(&self) -> Class {
        Class::HostUnsupported
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::NotPrivate { path, .. } => Some(format!("remove `{}`", path.display())),
            Self::TooLong(_) | Self::Nowhere(_) => Some(format!(
                "set `{RUNTIME_VARIABLE}` to a private directory with a short path that can be written to"
            )),
            Self::File(source) => source.hint(),
        }
    }
}

/// Makes sure of a private directory for the sockets of what lives at `owner` (an instance's directory, say): the first one that
/// sockets can be made in of `/tmp/stack-emulator-<uid>/<hash>`, `$XDG_RUNTIME_DIR/stack-emulator/<hash>`, and `.sockets` in `owner`.
///
/// The second would be the usual place, but it goes when its user logs out, and the machine stays. The last one has a long path.
///
/// # Errors
/// When there can be none in any of them: with what each says.
pub fn ensure(owner: &Path) -> Result<PathBuf, RuntimeDirError> {
    first_of(candidates(owner))
}

fn first_of(candidates: Vec<PathBuf>) -> Result<PathBuf, RuntimeDirError> {
    let mut refusals = Vec::new();
    for dir in candidates {
        match take(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) => refusals.push(match error.source() {
                Some(source) => format!("{error}: {source}"),
                None => error.to_string(),
            }),
        }
    }
    Err(RuntimeDirError::Nowhere(refusals))
}

/// Creates the directory if necessary, and verifies that sockets can be created in it.
fn take(dir: &Path) -> Result<(), RuntimeDirError> {
    if dir.as_os_str().len() + 1 + NAME_ROOM > PATH_LIMIT {
        return Err(RuntimeDirError::TooLong(dir.to_owned()));
    }
    if dir.ends_with(INSIDE) {
        create_private_dir(dir)?;
        check_private(dir)?;
    } else {
        restore(dir)?;
    }
    // Others may try at the same time.
    let trial = dir.join(format!("{TRIAL}{}", std::process::id()));
    let bound = UnixListener::bind(&trial);
    // Nothing else has that name, and one that stays does no harm.
    let _ = std::fs::remove_file(&trial);
    bound.map(drop).map_err(|source| FileError::of("make a socket in", dir)(source).into())
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

/// Every directory that sockets of what lives at `owner` may be in, in the order of preference. Nothing is touched.
pub fn candidates(owner: &Path) -> Vec<PathBuf> {
    let base = variables::path(RUNTIME_VARIABLE);
    places(Path::new(SHARED), base.as_deref(), rustix::process::getuid().as_raw(), owner)
}

/// Removes whatever [`ensure`] has made for `owner`, wherever that was.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(owner: &Path) -> Result<(), FileError> {
    for dir in candidates(owner).iter().filter(|dir| check_private(dir).is_ok()) {
        remove_dir_if_there(dir)?;
    }
    Ok(())
}

fn places(shared: &Path, runtime: Option<&Path>, user: u32, owner: &Path) -> Vec<PathBuf> {
    let hash = digest::of_bytes(owner.as_os_str().as_encoded_bytes()).first_digits(HASH_DIGITS);
    let usual = shared.join(format!("stack-emulator-{user}")).join(&hash);
    // The base directory specification tells programs to ignore a relative path.
    let runtime = runtime.filter(|dir| dir.is_absolute()).map(|dir| dir.join("stack-emulator").join(&hash));
    [Some(usual), runtime, Some(owner.join(INSIDE))].into_iter().flatten().collect()
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

    fn user() -> u32 {
        rustix::process::getuid().as_raw()
    }

    #[test]
    fn a_deep_owner_gets_a_short_directory_that_outlives_a_login() {
        let owner = PathBuf::from(format!("/{}", "deep/".repeat(60)));
        let (shared, runtime) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = || first_of(places(shared.path(), Some(runtime.path()), user(), &owner)).unwrap();
        let usual = shared.path().join(format!("stack-emulator-{}", user()));
        assert!(dir().starts_with(&usual), "{}", dir().display());
        assert_eq!(dir(), dir());
        assert_eq!(std::fs::read_dir(dir()).unwrap().count(), 0, "the trial is gone");
    }

    #[test]
    fn where_a_place_takes_no_sockets_the_next_one_is_taken() {
        let (runtime, home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let owner = home.path().join("instance");
        let nowhere = Path::new("/dev/null");
        let dir = |shared, runtime| first_of(places(shared, runtime, user(), &owner));
        assert!(dir(nowhere, Some(runtime.path())).unwrap().starts_with(runtime.path()));
        for none in [Some(nowhere), Some(Path::new("rel")), None] {
            assert_eq!(dir(nowhere, none).unwrap(), owner.join(".sockets"));
        }
        // Somebody else's, and one that others can enter.
        let shared = tempfile::tempdir().unwrap();
        std::fs::create_dir(shared.path().join(format!("stack-emulator-{}", user()))).unwrap();
        let usual = shared.path().join(format!("stack-emulator-{}", user()));
        std::fs::set_permissions(usual, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(dir(shared.path(), Some(runtime.path())).unwrap().starts_with(runtime.path()));
    }

    #[test]
    fn where_there_is_no_place_each_is_told_with_its_reason() {
        let home = tempfile::tempdir().unwrap();
        let owner = home.path().join("x".repeat(90));
        let error = first_of(places(Path::new("/dev/null"), None, user(), &owner)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/dev/null/stack-emulator-") && text.contains("Not a directory"), "{text}");
        assert!(text.contains("would be longer than "), "{text}");
        assert!(error.hint().unwrap().contains("XDG_RUNTIME_DIR"));
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
