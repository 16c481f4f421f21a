//! Taking a file's bytes as they come: hashing, unpacking and writing them, in a thread of their own.

use std::fs::File;
use std::io::{self, BufRead, Read, Write};

use bytes::{Buf, Bytes};
use flate2::read::DeflateDecoder;
use tokio::sync::mpsc::Receiver;

use super::archive::{ArchiveError, Entry, Method};
use super::pin::{Hasher, for_each_block, hasher};

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
}

/// Digests of what was stored, in hexadecimal.
pub(super) struct Stored {
    /// Of what came.
    pub(super) transfer: String,
    /// Of the file: the same, unless it came in an archive.
    pub(super) file: String,
}

impl Blocks {
    pub(super) fn new(receiver: Receiver<Bytes>, hasher: Hasher) -> Self {
        Self { receiver, current: Bytes::new(), hasher }
    }

    /// Takes the rest, and gives the digest of everything.
    fn finish(mut self) -> String {
        while self.next().is_some() {}
        hex::encode(self.hasher.finalize())
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
    let digest = blocks.finish();
    Ok(Stored { transfer: digest.clone(), file: digest })
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
    let packed = (&mut blocks).take(entry.compressed - have);
    match entry.method {
        Method::Stored => copy(packed, &mut written, &mut file)?,
        Method::Deflated => copy(DeflateDecoder::new(packed), &mut written, &mut file)?,
    }
    if (written.length, written.crc.clone().finalize()) != (entry.size, entry.crc) {
        return Err(StoreError::Archive(ArchiveError::Damaged));
    }
    let file = hex::encode(written.hasher.finalize());
    Ok(Stored { transfer: blocks.finish(), file })
}

/// Writes what the entry called `wanted` holds, of an archive that can only be read from its beginning on.
pub(super) fn unpack_from_start(
    mut blocks: Blocks,
    wanted: &str,
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
            copy(&mut entry, &mut written, &mut file)?;
            break;
        }
        present.push(format!("`{name}`"));
    }
    let file = hex::encode(written.hasher.finalize());
    Ok(Stored { transfer: blocks.finish(), file })
}

/// What was written of a file.
struct Written {
    length: u64,
    crc: crc32fast::Hasher,
    hasher: Hasher,
}

impl Written {
    /// What is there already.
    fn of(file: &mut File) -> Result<Self, StoreError> {
        let mut written = Self { length: 0, crc: crc32fast::Hasher::new(), hasher: hasher(None) };
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
