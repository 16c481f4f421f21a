//! A file that is on this machine already, taken as if it came from elsewhere.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use host::events::{Phase, Unit};
use host::files::FileError;
use host::space;

use super::part::Part;
use super::{DownloadError, Fetched, pin};

/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// Copies `file` to [`super::part_of`] `target`.
///
/// # Errors
/// When it cannot be read, or there is no room for it.
pub fn receive(file: &Path, target: &Path, phase: &Phase<'_>) -> Result<Fetched, DownloadError> {
    let part = Part::of(target);
    part.discard()?;
    let copied = copy(file, &part, target, phase);
    if copied.is_err() {
        part.discard()?;
    }
    copied
}

fn copy(file: &Path, part: &Part, target: &Path, phase: &Phase<'_>) -> Result<Fetched, DownloadError> {
    let mut from = File::open(file).map_err(FileError::of("open", file))?;
    let total = from.metadata().map_err(FileError::of("look at", file))?.len();
    space::require(target.parent().unwrap_or(Path::new(".")), "the image", total)??;
    let mut to = part.open(0)?;
    let mut hasher = pin::hasher(None);
    let (mut block, mut done) = (vec![0; BLOCK], 0);
    loop {
        let read = from.read(&mut block).map_err(FileError::of("read", file))?;
        if read == 0 {
            break;
        }
        hasher.update(&block[..read]);
        to.write_all(&block[..read]).map_err(|source| part.write_error(source))?;
        done += read as u64;
        phase.progress(done, Some(total), Unit::Bytes);
    }
    Ok(Fetched { path: part.path().to_owned(), digest: hex::encode(hasher.finalize()) })
}
