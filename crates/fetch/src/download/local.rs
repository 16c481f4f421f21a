//! A file that is on this machine already, taken as if it came from elsewhere.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use base::digest;
use base::events::{Phase, Unit};
use base::files::FileError;
use base::space;
use zip::ZipArchive;

use super::archive::{self, ArchiveError};
use super::part::Part;
use super::{DownloadError, Fetched};
use crate::local;

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// Copies `file` to [`super::part_of`] `target`. Out of an archive, or a directory of artifacts, comes the file that is called like
/// `target`.
///
/// # Errors
/// When it cannot be read, it is an archive without the file, or there is no room for it.
pub fn receive(file: &Path, target: &Path, phase: &Phase<'_>) -> Result<Fetched, DownloadError> {
    let part = Part::of(target);
    part.discard()?;
    let received = open(file, target, &part, phase);
    if received.is_err() {
        part.discard()?;
    }
    received
}

fn open(file: &Path, target: &Path, part: &Part, phase: &Phase<'_>) -> Result<Fetched, DownloadError> {
    let wanted = target.file_name().unwrap_or_default().to_string_lossy();
    let file = &local::image(file, &wanted)?;
    let mut from = File::open(file).map_err(FileError::of("open", file))?;
    let length = from.metadata().map_err(FileError::of("look at", file))?.len();
    let copying = Copying { target, part, phase };
    if !begins_like_a_zip(&mut from).map_err(FileError::of("read", file))? {
        return copying.copy(from, length, |source| FileError::of("read", file)(source).into());
    }
    let broken = |source| DownloadError::Archive { url: file.display().to_string(), source };
    let mut archive = ZipArchive::new(from).map_err(|error| broken(ArchiveError::Zip(error)))?;
    let index = archive::index_of(&archive, &wanted).map_err(broken)?;
    let entry = archive.by_index(index).map_err(|error| broken(ArchiveError::Zip(error)))?;
    let length = entry.size();
    copying.copy(entry, length, |error| broken(ArchiveError::Read(error)))
}

fn begins_like_a_zip(file: &mut File) -> io::Result<bool> {
    let mut front = Vec::new();
    Read::take(&mut *file, archive::LOCAL_HEADER_BYTES).read_to_end(&mut front)?;
    file.rewind()?;
    Ok(archive::is_zip(&front))
}

/// Where a copy goes.
struct Copying<'a> {
    target: &'a Path,
    part: &'a Part,
    phase: &'a Phase<'a>,
}

impl Copying<'_> {
    fn copy(
        &self,
        mut from: impl Read,
        length: u64,
        unreadable: impl Fn(io::Error) -> DownloadError,
    ) -> Result<Fetched, DownloadError> {
        space::require(self.target.parent().unwrap_or(Path::new(".")), "the image", length)??;
        let mut to = self.part.open(0)?;
        let mut hasher = digest::Hasher::default();
        let (mut block, mut done) = (vec![0; BLOCK], 0);
        loop {
            let read = from.read(&mut block).map_err(&unreadable)?;
            if read == 0 {
                break;
            }
            hasher.update(&block[..read]);
            to.write_all(&block[..read]).map_err(|source| self.part.write_error(source))?;
            done += read as u64;
            self.phase.progress(done, Some(length), Unit::Bytes);
        }
        Ok(Fetched { path: self.part.path().to_owned(), sha256: hasher.finish() })
    }
}
