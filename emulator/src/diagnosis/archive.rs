//! The archive of a report: a tar file, compressed by zstd, that only its owner can read.

use std::fs::File;
use std::io;
use std::path::Path;

use base::files::FileError;

/// Level of compression: logs are packed to a tenth by any.
const LEVEL: i32 = 10;

/// Writes these texts by their names into a new file at `path`, and gives its size.
///
/// # Errors
/// When there is a file already, or it cannot be written.
pub(super) fn write<'a>(
    texts: impl Iterator<Item = (&'a str, &'a str)>,
    path: &Path,
) -> Result<u64, FileError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // No other user can open such a file, and one that is incomplete is removed.
    let file = tempfile::NamedTempFile::new_in(dir).map_err(FileError::of("create a file in", dir))?;
    pack(texts, file.as_file()).map_err(FileError::of("write", path))?;
    let file = file.persist_noclobber(path).map_err(|error| FileError::of("create", path)(error.error))?;
    Ok(file.metadata().map_err(FileError::of("look at", path))?.len())
}

fn pack<'a>(texts: impl Iterator<Item = (&'a str, &'a str)>, file: &File) -> io::Result<()> {
    let mut tar = tar::Builder::new(zstd::Encoder::new(file, LEVEL)?);
    for (name, text) in texts {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        tar.append_data(&mut header, name, text.as_bytes())?;
    }
    tar.into_inner()?.finish()?.sync_all()
}
