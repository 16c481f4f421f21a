//! A range of a file, which several readers may read at once.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes of a file from `start`, `len` of them.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    file: Arc<File>,
    start: u64,
    len: u64,
}

impl Blob {
    /// Takes all of `file`.
    pub(crate) fn of_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file: Arc::new(file), start: 0, len })
    }

    /// Takes `len` bytes of this one from `at`; what is beyond its end is left out.
    pub(crate) fn part(&self, at: u64, len: u64) -> Self {
        let at = at.min(self.len);
        Self { file: Arc::clone(&self.file), start: self.start + at, len: len.min(self.len - at) }
    }

    /// Returns the number of bytes.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads from the beginning.
    pub(crate) fn reader(&self) -> Reader {
        Reader { blob: self.clone(), at: 0 }
    }

    /// Reads at most `limit` bytes; more of them are an error ([`io::ErrorKind::FileTooLarge`]).
    pub(crate) fn bytes(&self, limit: u64) -> io::Result<Vec<u8>> {
        if self.len > limit {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                format!("it has {} bytes, more than {limit}", self.len),
            ));
        }
        let mut bytes = Vec::new();
        self.reader().read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// Reads a [`Blob`].
#[derive(Debug)]
pub(crate) struct Reader {
    blob: Blob,
    at: u64,
}

impl Read for Reader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.blob.len - self.at).unwrap_or(usize::MAX);
        let count = into.len().min(left);
        if count == 0 {
            return Ok(0);
        }
        let read = self.blob.file.read_at(&mut into[..count], self.blob.start + self.at)?;
        self.at += read as u64;
        if read == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file has become shorter"));
        }
        Ok(read)
    }
}
