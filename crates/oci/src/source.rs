//! The files of an archive, wherever they are: in a tar archive, or in a directory.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::files::{is_absence, open_file};

use crate::blob::Blob;
use crate::compression::Compression;
use crate::tape::Body;
use crate::tape::read::{Malformed, entries};

/// Most symbolic links that a file of an archive is behind.
const LINKS: usize = 8;

/// The files of an archive.
#[derive(Debug)]
pub(crate) enum Source {
    Directory(PathBuf),
    Tar(HashMap<PathBuf, Member>),
}

/// A file in a tar archive.
#[derive(Debug)]
pub(crate) enum Member {
    File(Blob),
    /// A link to another one; old archives of Docker have it for a layer that is there twice.
    Link(PathBuf),
}

/// Why there are no files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    #[error(transparent)]
    Read(io::Error),
    /// It is something else.
    #[error("{0}")]
    Other(String),
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

impl Source {
    /// Opens the archive at `path`. A compressed one is unpacked into a file without a name in `scratch`.
    pub(crate) fn open(path: &Path, scratch: &Path) -> Result<Self, Unusable> {
        if std::fs::metadata(path)?.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        let mut blob = Blob::of_file(open_file(path)?)?;
        if blob.len() == 0 {
            return Err(Unusable::Other("it is empty".to_owned()));
        }
        let compression = Compression::of(&blob)?;
        if compression != Compression::None {
            blob = unpacked(compression, &blob, scratch)?;
        }
        members(&blob).map(Self::Tar)
    }

    /// Returns the file at `name`, which is relative; none if there is none.
    pub(crate) fn file(&self, name: &Path) -> io::Result<Option<Blob>> {
        match self {
            Self::Directory(dir) => match open_file(&dir.join(name)) {
                Err(error) if is_absence(&error) => Ok(None),
                file => file.and_then(Blob::of_file).map(Some),
            },
            Self::Tar(members) => {
                let mut name = plain(Path::new(""), name);
                for _ in 0..=LINKS {
                    match members.get(&name) {
                        Some(Member::File(blob)) => return Ok(Some(blob.clone())),
                        Some(Member::Link(target)) => name = target.clone(),
                        None => break,
                    }
                }
                Ok(None)
            }
        }
    }
}

fn unpacked(compression: Compression, packed: &Blob, scratch: &Path) -> Result<Blob, Unusable> {
    let mut file: File = tempfile::tempfile_in(scratch)?;
    let mut decoder =
        compression.decoder(packed.reader()).map_err(|error| Unusable::Other(error.to_string()))?;
    let mut block = vec![0; 1 << 18];
    loop {
        // That it cannot be unpacked says something about the archive; that it cannot be written does not.
        let read = io::Read::read(&mut decoder, &mut block);
        let read = read.map_err(|error| Unusable::Other(format!("it cannot be unpacked: {error}")))?;
        if read == 0 {
            return Ok(Blob::of_file(file)?);
        }
        io::Write::write_all(&mut file, &block[..read])?;
    }
}

fn members(blob: &Blob) -> Result<HashMap<PathBuf, Member>, Unusable> {
    let mut members = HashMap::new();
    for entry in entries(blob) {
        let entry = entry.map_err(|malformed| match malformed {
            Malformed::Read(error) => Unusable::Read(error),
            malformed @ Malformed::Archive { .. } => Unusable::Other(malformed.to_string()),
        })?;
        let name = plain(Path::new(""), path(&entry.name));
        let dir = name.parent().unwrap_or(Path::new(""));
        let member = match &entry.body {
            Body::File(content) => match content.whole() {
                Some(data) => Member::File(data.clone()),
                None => return Err(Unusable::Other(format!("its file `{}` has holes", name.display()))),
            },
            Body::Symlink(target) => Member::Link(plain(dir, path(target))),
            Body::HardLink(target) => Member::Link(plain(Path::new(""), path(target))),
            Body::Directory | Body::Fifo | Body::Device => continue,
        };
        members.insert(name, member);
    }
    Ok(members)
}

fn path(name: &[u8]) -> &Path {
    Path::new(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(name))
}

/// Returns what `name` means in the directory `dir` of the archive. It is a key, and never a path of this host.
fn plain(dir: &Path, name: &Path) -> PathBuf {
    let mut plain = dir.to_owned();
    for part in name.components() {
        match part {
            std::path::Component::Normal(part) => plain.push(part),
            std::path::Component::ParentDir => drop(plain.pop()),
            std::path::Component::RootDir => plain = PathBuf::new(),
            std::path::Component::CurDir | std::path::Component::Prefix(_) => {}
        }
    }
    plain
}
