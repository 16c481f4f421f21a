//! Copies between files that keep holes.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

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

/// Size of a page of memory, and of the stretches that [`copy_nonzero`] leaves out.
const PAGE: usize = 4096;

/// How much [`copy_nonzero`] reads at once.
const BLOCK: usize = 1 << 20;

/// Copies what `from` holds to the same offsets of the empty file `to`, without the pages that are nothing but zeroes: those
/// become holes. Gives the number of bytes written.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_nonzero(from: &File, to: &File) -> io::Result<u64> {
    let len = from.metadata()?.len();
    to.set_len(len)?;
    let (mut position, mut written) = (0, 0);
    while let Some(data) = next_data(from, position, len)? {
        written += copy_range_nonzero(from, data, to, data.start)?;
        position = data.start + data.len;
    }
    Ok(written)
}

/// Copies `range` of `from` to `offset` of `to`, without the pages that are nothing but zeroes: what is there is left as it is.
/// Gives the number of bytes written.
///
/// # Errors
/// When a file cannot be read or written.
pub fn copy_range_nonzero(from: &File, range: Range, to: &File, offset: u64) -> io::Result<u64> {
    let mut block = vec![0; usize::try_from(range.len).map_or(BLOCK, |len| len.min(BLOCK))];
    let (mut done, mut written) = (0, 0);
    while done < range.len {
        let room = usize::try_from(range.len - done).map_or(BLOCK, |left| left.min(BLOCK));
        from.read_exact_at(&mut block[..room], range.start + done)?;
        written += write_nonzero(&block[..room], to, offset + done)?;
        done += room as u64;
    }
    Ok(written)
}

/// Gives every page of `file` that is not all zeroes to `take`, with its offset. Which pages those are depends on the content alone,
/// and not on where the file has holes.
///
/// # Errors
/// When the file cannot be read.
pub fn nonzero_pages(file: &File, mut take: impl FnMut(u64, &[u8])) -> io::Result<()> {
    let page = PAGE as u64;
    let len = file.metadata()?.len();
    let mut block = vec![0; BLOCK];
    let mut position = 0;
    while let Some(data) = next_data(file, position, len)? {
        let end = (data.start + data.len).next_multiple_of(page).min(len);
        // A hole may end within a page. What was seen of that page already ends at its end.
        position = position.max(data.start - data.start % page);
        while position < end {
            let room = usize::try_from(end - position).map_or(BLOCK, |left| left.min(BLOCK));
            file.read_exact_at(&mut block[..room], position)?;
            for (index, page) in block[..room].chunks(PAGE).enumerate().filter(|(_, page)| !is_zero(page)) {
                take(position + (index * PAGE) as u64, page);
            }
            position += room as u64;
        }
    }
    Ok(())
}

/// Writes a new file from its beginning, leaving holes for pages of zeroes.
#[derive(Debug)]
pub struct Writer<'a> {
    file: &'a File,
    position: u64,
    block: Vec<u8>,
}

impl<'a> Writer<'a> {
    /// A writer of the empty `file`.
    pub fn new(file: &'a File) -> Self {
        Self { file, position: 0, block: Vec::with_capacity(BLOCK) }
    }

    /// Writes what is left, and gives the file its length.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.set_len(self.position)
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = BLOCK - self.block.len();
        let taken = bytes.len().min(room);
        self.block.extend_from_slice(&bytes[..taken]);
        if self.block.len() == BLOCK {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        write_nonzero(&self.block, self.file, self.position)?;
        self.position += self.block.len() as u64;
        self.block.clear();
        Ok(())
    }
}

/// Writes the runs of pages of `block` that are not all zeroes.
fn write_nonzero(block: &[u8], to: &File, offset: u64) -> io::Result<u64> {
    let pages: Vec<(bool, &[u8])> = block.chunks(PAGE).map(|page| (is_zero(page), page)).collect();
    let (mut start, mut written) = (0, 0);
    for run in pages.chunk_by(|(a, _), (b, _)| a == b) {
        let end = start + run.iter().map(|(_, page)| page.len()).sum::<usize>();
        if !run[0].0 {
            to.write_all_at(&block[start..end], offset + start as u64)?;
            written += (end - start) as u64;
        }
        start = end;
    }
    Ok(written)
}

fn is_zero(page: &[u8]) -> bool {
    page == &[0; PAGE][..page.len()]
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
    fn pages_of_zeroes_become_holes_and_everything_else_arrives() {
        let from = tempfile::tempfile().unwrap();
        let len = 3 * BLOCK as u64 + 100;
        from.set_len(len).unwrap();
        from.write_all_at(&vec![0; 2 * BLOCK], 0).unwrap();
        from.write_all_at(b"first", 0).unwrap();
        from.write_all_at(b"across", BLOCK as u64 - 3).unwrap();
        from.write_all_at(b"end", len - 3).unwrap();

        let to = tempfile::tempfile().unwrap();
        assert_eq!(copy_nonzero(&from, &to).unwrap(), 3 * PAGE as u64 + 100);
        let read = |file: &File| {
            let mut bytes = vec![0; usize::try_from(len).unwrap()];
            file.read_exact_at(&mut bytes, 0).unwrap();
            bytes
        };
        assert!(read(&from) == read(&to));
        assert!(allocated(&to).unwrap() < 64 << 10, "{} bytes are allocated", allocated(&to).unwrap());
    }

    #[test]
    fn a_stream_is_written_with_holes_and_keeps_its_length() {
        let to = tempfile::tempfile().unwrap();
        let mut writer = Writer::new(&to);
        writer.write_all(b"start").unwrap();
        writer.write_all(&vec![0; 5 * BLOCK]).unwrap();
        writer.write_all(b"\0middle").unwrap();
        writer.write_all(&vec![0; BLOCK]).unwrap();
        writer.finish().unwrap();
        assert_eq!(to.metadata().unwrap().len(), 6 * BLOCK as u64 + 12);
        let mut read = [0; 7];
        to.read_exact_at(&mut read, 5 * BLOCK as u64 + 5).unwrap();
        assert_eq!(&read, b"\0middle");
        assert!(allocated(&to).unwrap() < 64 << 10, "{} bytes are allocated", allocated(&to).unwrap());
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
