//! Taking a file's bytes as they come: hashing, unpacking and writing them, in a thread of their own.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};

use base::digest::{self, Sha256};
use bytes::{Buf, Bytes};
use flate2::read::DeflateDecoder;
use tokio::sync::mpsc::Receiver;

use super::archive::{ArchiveError, Entry, Method};
use super::error::DownloadError;
use super::pin::{Hashed, Hasher, for_each_block};

/// Bytes that are copied at once out of an archive.
const BLOCK: usize = 256 << 10;

/// The bytes of a download as a reader, hashed on their way. Ends early when the download fails.
pub(super) struct Blocks {
    receiver: Receiver<Bytes>,
    current: Bytes,
    hasher: Hasher,
}

/// Why bytes were not stored.
pub(super) enum StoreError {
    /// The file cannot be written.
    Write(io::Error),
    /// They are not of an archive with the file in it, or they ended early.
    Archive(ArchiveError),
    /// There is no room for what they say is coming.
    Room(DownloadError),
}

/// Digests of what was stored.
pub(super) struct Stored {
    /// Of what came.
    pub(super) transfer: Hashed,
    /// Of the file: the same, unless it came in an archive.
    pub(super) file: Sha256,
}

impl Stored {
    /// A file that came as it is.
    pub(super) fn plain(hashed: Hashed) -> Self {
        Self { file: hashed.sha256, transfer: hashed }
    }
}

impl Blocks {
    pub(super) fn new(receiver: Receiver<Bytes>, hasher: Hasher) -> Self {
        Self { receiver, current: Bytes::new(), hasher }
    }

    /// Takes the rest, and returns the digest of everything.
    fn finish(mut self) -> Hashed {
        while self.next().is_some() {}
        self.hasher.finish()
    }

    fn next(&mut self) -> Option<Bytes> {
        if !self.current.is_empty() {
            return Some(std::mem::take(&mut self.current));
        }
        let block = self.receiver.blocking_recv()?;
        self.hasher.update(&block);
        Some(block)
    }
}

impl BufRead for Blocks {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        while self.current.is_empty() {
            match self.next() {
                Some(block) => self.current = block,
                None => break,
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, amount: usize) {
        self.current.advance(amount);
    }
}

impl Read for Blocks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(buffer.len());
        buffer[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

/// Writes bytes as they are.
pub(super) fn plain(mut blocks: Blocks, mut file: File) -> Result<Stored, StoreError> {
    while let Some(block) = blocks.next() {
        file.write_all(&block).map_err(StoreError::Write)?;
    }
    Ok(Stored::plain(blocks.finish()))
}

/// Writes what `entry` of an archive holds. The blocks begin `skip` bytes before what is still missing of it.
pub(super) fn unpack(
    mut blocks: Blocks,
    entry: &Entry,
    skip: u64,
    have: u64,
    mut file: File,
) -> Result<Stored, StoreError> {
    let mut written = Written::of(&mut file)?;
    drain(&mut blocks, skip)?;
    let packed = (&mut blocks).take(entry.compressed.saturating_sub(have));
    // What holds more than it says is not given the disk to fill: a byte more is enough to notice.
    let most = entry.size.saturating_sub(have).saturating_add(1);
    match entry.method {
        Method::Stored => copy(packed.take(most), &mut written, &mut file)?,
        Method::Deflated => copy(DeflateDecoder::new(packed).take(most), &mut written, &mut file)?,
    }
    if (written.length, written.crc.clone().finalize()) != (entry.size, entry.crc) {
        return Err(StoreError::Archive(ArchiveError::Damaged));
    }
    let file = written.hasher.finish();
    Ok(Stored { transfer: blocks.finish(), file })
}

/// Writes what the entry called `wanted` holds, of an archive that can only be read from its beginning on. `room` is asked for as many
/// bytes as the entry says that it has.
pub(super) fn unpack_from_start(
    mut blocks: Blocks,
    wanted: &str,
    room: impl FnOnce(u64) -> Result<(), DownloadError>,
    mut file: File,
) -> Result<Stored, StoreError> {
    let mut written = Written::of(&mut file)?;
    let mut present = Vec::new();
    loop {
        let entry = zip::read::read_zipfile_from_stream(&mut blocks).map_err(ArchiveError::Zip);
        let Some(mut entry) = entry.map_err(StoreError::Archive)? else {
            return Err(StoreError::Archive(ArchiveError::NoImage { wanted: wanted.to_owned(), present }));
        };
        let path = entry.enclosed_name();
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let Some(path) = path else { return Err(StoreError::Archive(ArchiveError::Outside(name))) };
        if path.file_name().is_some_and(|name| name == wanted) {
            // The reader returns no more than the entry says.
            room(entry.size()).map_err(StoreError::Room)?;
            copy(&mut entry, &mut written, &mut file)?;
            break;
        }
        present.push(format!("`{name}`"));
    }
    let file = written.hasher.finish();
    Ok(Stored { transfer: blocks.finish(), file })
}

/// What was written of a file.
struct Written {
    length: u64,
    crc: crc32fast::Hasher,
    hasher: digest::Hasher,
}

impl Written {
    /// What is there already.
    fn of(file: &mut File) -> Result<Self, StoreError> {
        let mut written =
            Self { length: 0, crc: crc32fast::Hasher::new(), hasher: digest::Hasher::default() };
        for_each_block(file, |block| written.add(block)).map_err(StoreError::Write)?;
        Ok(written)
    }

    fn add(&mut self, block: &[u8]) {
        self.length += block.len() as u64;
        self.crc.update(block);
        self.hasher.update(block);
    }
}

fn copy(mut from: impl Read, written: &mut Written, file: &mut File) -> Result<(), StoreError> {
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block).map_err(|error| StoreError::Archive(ArchiveError::Read(error)))?;
        if read == 0 {
            return Ok(());
        }
        written.add(&block[..read]);
        file.write_all(&block[..read]).map_err(StoreError::Write)?;
    }
}

fn drain(blocks: &mut Blocks, count: u64) -> Result<(), StoreError> {
    let copied = io::copy(&mut blocks.take(count), &mut io::sink());
    copied.map(drop).map_err(|error| StoreError::Archive(ArchiveError::Read(error)))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use tokio::sync::mpsc;
    use zip::write::{SimpleFileOptions, ZipWriter};

    use super::*;

    const FILE: &str = "image.qcow2";

    /// What the archive says that the file has, and what it has.
    const SAID: u32 = 1000;
    const HELD: usize = 16 << 20;

    /// An archive in which both headers of the only file lie about its size.
    fn lying() -> Vec<u8> {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file(FILE, SimpleFileOptions::default()).unwrap();
        zip.write_all(&vec![0; HELD]).unwrap();
        let mut bytes = zip.finish().unwrap().into_inner();
        let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
        // APPNOTE.TXT, 4.3.7 and 4.3.12.
        for at in [22, directory + 24] {
            let size = &mut bytes[at..at + 4];
            assert_eq!(size, u32::try_from(HELD).unwrap().to_le_bytes());
            size.copy_from_slice(&SAID.to_le_bytes());
        }
        bytes
    }

    fn blocks(bytes: Vec<u8>) -> Blocks {
        let (sender, receiver) = mpsc::channel(1);
        sender.try_send(bytes.into()).unwrap();
        Blocks::new(receiver, Hasher::new(None))
    }

    /// Lets `store` write to a file, and returns how long that has become. It fails because of the archive.
    fn refused_after(store: impl FnOnce(Blocks, File) -> Result<Stored, StoreError>) -> u64 {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let file = File::options().create_new(true).append(true).read(true).open(&path).unwrap();
        assert!(matches!(store(blocks(lying()), file), Err(StoreError::Archive(_))));
        path.metadata().unwrap().len()
    }

    #[test]
    fn an_archive_that_holds_more_than_it_says_does_not_fill_the_disk() {
        let bytes = lying();
        let total = bytes.len() as u64;
        let entry = super::super::archive::find(bytes.into(), total, FILE).unwrap();
        assert_eq!((entry.size, entry.method), (u64::from(SAID), Method::Deflated));
        let content = 30 + FILE.len() as u64;
        let length = refused_after(|blocks, file| unpack(blocks, &entry, content, 0, file));
        assert!(length <= u64::from(SAID) + 1, "{length} bytes");

        let mut asked = None;
        let room = |size| {
            asked = Some(size);
            Ok(())
        };
        let length = refused_after(|blocks, file| unpack_from_start(blocks, FILE, room, file));
        assert!(length <= u64::from(SAID) + 1, "{length} bytes");
        assert_eq!(asked, Some(u64::from(SAID)));
    }
}
