//! Unix sockets at paths of any length. An address holds about a hundred bytes; on Linux a longer path is given as one from an
//! open directory on, `/proc/self/fd/N/name`.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream as Probe};
use std::path::{Path, PathBuf};

use base::files::remove_if_there;
use rustix::fs::{Mode, OFlags};
use rustix::io::{FdFlags, fcntl_setfd};
use tokio::net::UnixStream;

/// Longest path of a unix socket in bytes that every supported system takes (macOS: 104 with the final zero).
pub const PATH_LIMIT: usize = 103;

/// A path as the operating system takes it for a socket.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    /// What the path begins with. Processes that are started while it is open inherit it, so that they can remove the socket.
    dir: Option<OwnedFd>,
}

impl Address {
    /// For the socket at `path`.
    ///
    /// # Errors
    /// When the path is long and its directory cannot be opened.
    pub fn of(path: &Path) -> io::Result<Self> {
        let long = path.as_os_str().len() > PATH_LIMIT;
        let (true, Some(dir), Some(name)) =
            (long && cfg!(target_os = "linux"), path.parent(), path.file_name())
        else {
            return Ok(Self { path: path.to_owned(), dir: None });
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(dir, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
        Ok(Self { path, dir: Some(dir) })
    }

    /// The path, which is good for as long as this value lives.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Connects to the socket at `path`.
///
/// # Errors
/// When no process listens there.
pub async fn connect(path: &Path) -> io::Result<UnixStream> {
    let address = Address::of(path)?;
    UnixStream::connect(address.path()).await
}

/// A socket on which the process that inherits it is going to listen. It is in its place already.
#[derive(Debug)]
pub struct Inherited {
    listener: UnixListener,
    /// Lets that process remove the socket when it ends.
    _address: Address,
}

impl Inherited {
    /// A socket at `path`, in the place of whatever is there. Processes that are started while it is open inherit it.
    ///
    /// # Errors
    /// When the file system takes no sockets, or none that can be connected to.
    pub fn at(path: &Path) -> io::Result<Self> {
        remove_if_there(path).map_err(|error| error.source)?;
        let address = Address::of(path)?;
        let listener = UnixListener::bind(address.path())?;
        let verified = || {
            let _probe = Probe::connect(address.path())?;
            // The probe must not stay in the queue after it is gone.
            listener.accept()?;
            fcntl_setfd(&listener, FdFlags::empty())?;
            address.dir.as_ref().map_or(Ok(()), |dir| fcntl_setfd(dir, FdFlags::empty()))?;
            Ok(())
        };
        if let Err(error) = verified() {
            let _ = std::fs::remove_file(path);
            return Err(error);
        }
        Ok(Self { listener, _address: address })
    }

    /// Its file descriptor here, and in every process that has inherited it.
    pub fn number(&self) -> i32 {
        self.listener.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deep(dir: &Path) -> PathBuf {
        let deep = dir.join("deep".repeat(40));
        std::fs::create_dir(&deep).unwrap();
        deep.join("socket")
    }

    #[tokio::test]
    #[cfg(target_os = "linux")]
    async fn a_path_too_long_for_an_address_can_be_bound_and_connected_to() {
        let dir = tempfile::tempdir().unwrap();
        let path = deep(dir.path());
        assert!(UnixStream::connect(&path).await.is_err());
        let inherited = Inherited::at(&path).unwrap();
        connect(&path).await.unwrap();
        drop(inherited);
        assert!(connect(&path).await.is_err());
        // A leftover of an earlier one is not an obstacle.
        Inherited::at(&path).unwrap();
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[expect(clippy::used_underscore_binding, reason = "the program only keeps it open")]
    fn the_socket_and_its_directory_are_inherited_with_an_empty_queue() {
        let dir = tempfile::tempdir().unwrap();
        let inherited = Inherited::at(&deep(dir.path())).unwrap();
        let flags = |fd: &dyn std::os::fd::AsFd| rustix::io::fcntl_getfd(fd.as_fd()).unwrap();
        assert_eq!(flags(&inherited.listener), FdFlags::empty());
        assert_eq!(flags(inherited._address.dir.as_ref().unwrap()), FdFlags::empty());
        inherited.listener.set_nonblocking(true).unwrap();
        assert_eq!(inherited.listener.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn where_no_socket_can_be_made_that_is_told_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Inherited::at(&dir.path().join("none/socket")).is_err());
        assert!(Inherited::at(dir.path()).is_err(), "a directory is in its place");
        assert!(dir.path().is_dir());
    }
}
