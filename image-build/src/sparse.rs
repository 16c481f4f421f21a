//! Copies between files that keep holes.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// A stretch of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// First byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

/// Copies `range` of `from` to `offset` of `to`, data only: what is a hole in `from` is left as it is in `to`. The
/// standard library lets the kernel copy, or share the blocks, where both file systems can. Uses the files' positions.
/// Gives the number of bytes copied.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy(mut from: &File, range: Range, mut to: &File, offset: u64) -> io::Result<u64> {
    let end = range.start + range.len;
    let mut position = range.start;
    let mut copied = 0;
    while let Some(data) = next_data(from, position, end)? {
        from.seek(io::SeekFrom::Start(data.start))?;
        to.seek(io::SeekFrom::Start(offset + (data.start - range.start)))?;
        if io::copy(&mut from.take(data.len), &mut to)? != data.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        copied += data.len;
        position = data.start + data.len;
    }
    Ok(copied)
}

/// The first stretch of data of `file` between `position` and `end`.
fn next_data(file: &File, position: u64, end: u64) -> io::Result<Option<Range>> {
    if position >= end {
        return Ok(None);
    }
    let start = match seek(file, SeekFrom::Data(position)) {
        Ok(start) => start,
        // There is no data behind the position.
        Err(Errno::NXIO) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if start >= end {
        return Ok(None);
    }
    let stop = seek(file, SeekFrom::Hole(start))?.min(end);
    Ok(Some(Range { start, len: stop - start }))
}

/// Bytes that a file occupies.
///
/// # Errors
/// When its metadata cannot be read.
pub fn allocated(file: &File) -> io::Result<u64> {
    // POSIX: `st_blocks` counts units of 512 bytes whatever the file system's block size.
    Ok(file.metadata()?.blocks() * 512)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::FileExt;
    use std::path::Path;

    use super::*;

    #[test]
    fn files_on_different_file_systems_are_copied_too() {
        let mut from = tempfile::tempfile_in("/dev/shm").unwrap();
        from.write_all(b"data").unwrap();
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let to = tempfile::tempfile_in(dir).unwrap();
        let device = |file: &File| file.metadata().unwrap().dev();
        assert_ne!(device(&from), device(&to), "the test needs two file systems");
        assert_eq!(copy(&from, Range { start: 1, len: 3 }, &to, 2).unwrap(), 3);
        let mut read = [0; 5];
        to.read_exact_at(&mut read, 0).unwrap();
        assert_eq!(&read, b"\0\0ata");
    }

    #[test]
    fn data_arrives_at_the_offset_and_holes_stay_holes() {
        let from = tempfile::tempfile().unwrap();
        from.set_len(64 << 20).unwrap();
        from.write_all_at(b"first", 0).unwrap();
        from.write_all_at(b"second", 32 << 20).unwrap();
        from.write_all_at(b"outside", 48 << 20).unwrap();

        let to = tempfile::tempfile().unwrap();
        to.set_len(128 << 20).unwrap();
        copy(&from, Range { start: 0, len: 48 << 20 }, &to, 1 << 20).unwrap();

        let mut read = [0; 6];
        to.read_exact_at(&mut read, 1 << 20).unwrap();
        assert_eq!(&read, b"first\0");
        to.read_exact_at(&mut read, 33 << 20).unwrap();
        assert_eq!(&read, b"second");
        to.read_exact_at(&mut read, 49 << 20).unwrap();
        assert_eq!(read, [0; 6], "the range ends before it");
        assert!(allocated(&to).unwrap() < 1 << 20, "{} bytes are allocated", allocated(&to).unwrap());
    }
}
