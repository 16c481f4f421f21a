//! Contents: bytes in memory, or a file for those that are too large for that.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use base::digest::{self, Sha256};
use bytes::Bytes;

/// Bytes that are read from a file at once.
const BLOCK: u64 = 256 << 10;

/// Something that can be downloaded.
#[derive(Debug, Clone)]
pub struct Content {
    source: Source,
    length: u64,
    sha256: Arc<OnceLock<Sha256>>,
    /// Strong entity tag, quotes included.
    pub etag: String,
}

#[derive(Debug, Clone)]
enum Source {
    Bytes(Bytes),
    File(PathBuf),
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", digest::of_bytes(&bytes).first_digits(16));
        let length = bytes.len() as u64;
        Self { source: Source::Bytes(bytes.into()), length, sha256: Arc::default(), etag }
    }
}

impl Content {
    /// The file at `path`, which must not change.
    ///
    /// # Errors
    /// When it cannot be looked at.
    pub fn file(path: &Path) -> io::Result<Self> {
        let length = path.metadata()?.len();
        let etag = format!("\"file-{length}\"");
        Ok(Self { source: Source::File(path.to_owned()), length, sha256: Arc::default(), etag })
    }

    /// Length in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// SHA-256.
    pub fn sha256(&self) -> Sha256 {
        *self.sha256.get_or_init(|| match &self.source {
            Source::Bytes(bytes) => digest::of_bytes(bytes),
            Source::File(path) => digest::of_file(path).expect("the file can be read"),
        })
    }

    /// The bytes from `from` to before `to`, or as many as are handed out at once.
    pub(crate) fn read(&self, from: u64, to: u64) -> Bytes {
        let index = |at: u64| usize::try_from(at).expect("it fits into memory");
        match &self.source {
            Source::Bytes(bytes) => bytes.slice(index(from)..index(to.min(from + BLOCK))),
            Source::File(path) => {
                let mut block = vec![0; index(BLOCK.min(to - from))];
                let file = File::open(path).expect("the file is there");
                file.read_exact_at(&mut block, from).expect("the file can be read");
                block.into()
            }
        }
    }
}
