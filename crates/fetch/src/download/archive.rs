//! Finding an image in a zip that is still on the server.
//!
//! The central directory at a zip's end is the only place that always knows the size of an entry: what was zipped while it was
//! produced has none in front of it (APPNOTE.TXT, 4.4.4, bit 3).

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use bytes::Bytes;
use zip::{CompressionMethod, ZipArchive};

/// First bytes of a zip (APPNOTE.TXT, 4.3.7).
const LOCAL_HEADER: &[u8; 4] = b"PK\x03\x04";

/// Bytes of a local header before the name.
pub(super) const LOCAL_HEADER_BYTES: u64 = 30;

/// Bytes at the end of an archive that its directory is looked for in: that of an archive with thousands of files.
pub(super) const DIRECTORY_BYTES: u64 = 256 << 10;

/// What is wrong with an archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It is not as zips are.
    #[error("it is not a valid zip")]
    Zip(#[source] zip::result::ZipError),
    /// An entry that leads out of the directory that it would be unpacked in, which is never an accident.
    #[error("it has an entry `{0}`, which leads elsewhere")]
    Outside(String),
    /// The file is not in it.
    #[error("it holds no `{wanted}`, only {}", present.join(", "))]
    NoImage {
        /// The file.
        wanted: String,
        /// What it holds.
        present: Vec<String>,
    },
    /// The file is compressed in a way that is not understood, or encrypted.
    #[error("`{0}` in it is packed in a way that is not understood")]
    Method(String),
    /// What comes out of it has another length or checksum than it says.
    #[error("what it holds does not fit its own checksum")]
    Damaged,
    /// It ends early, or does not decompress.
    #[error("it cannot be unpacked")]
    Read(#[source] io::Error),
}

/// How an entry is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

/// An entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Where its local header begins.
    pub(super) header: u64,
    pub(super) method: Method,
    /// Bytes in the archive.
    pub(super) compressed: u64,
    /// Bytes of the file.
    pub(super) size: u64,
    pub(super) crc: u32,
}

/// Whether a file that begins like this is a zip.
pub(super) fn is_zip(front: &[u8]) -> bool {
    front.starts_with(LOCAL_HEADER)
}

/// Bytes from the beginning of this local header to that of the content behind it.
pub(super) fn content_offset(header: &[u8]) -> Option<u64> {
    let field = |at: usize| Some(u64::from(u16::from_le_bytes(header.get(at..at + 2)?.try_into().ok()?)));
    let (name, extra) = (field(26)?, field(28)?);
    is_zip(header).then_some(LOCAL_HEADER_BYTES + name + extra)
}

/// The entry called `wanted`, by the directory in the last bytes of an archive of `total` bytes.
pub(super) fn find(tail: Bytes, total: u64, wanted: &str) -> Result<Entry, ArchiveError> {
    let archive = ZipArchive::new(Tail::new(tail, total)).map_err(ArchiveError::Zip)?;
    let entry = archive.by_index_data(index_of(&archive, wanted)?).map_err(ArchiveError::Zip)?;
    let method = match entry.compression() {
        CompressionMethod::Stored if !entry.encrypted() => Method::Stored,
        CompressionMethod::Deflated if !entry.encrypted() => Method::Deflated,
        _ => return Err(ArchiveError::Method(wanted.to_owned())),
    };
    Ok(Entry {
        header: entry.header_start(),
        method,
        compressed: entry.compressed_size(),
        size: entry.size(),
        crc: entry.crc32(),
    })
}

/// Which entry of an archive is the file called `wanted`, in whatever directory. None may lead out of the archive.
pub(super) fn index_of<R: Read + Seek>(archive: &ZipArchive<R>, wanted: &str) -> Result<usize, ArchiveError> {
    let mut found = None;
    let mut present = Vec::new();
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(ArchiveError::Zip)?;
        let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
        let path = entry.enclosed_name().ok_or_else(|| ArchiveError::Outside(name.clone()))?;
        if path.file_name() == Some(Path::new(wanted).as_os_str()) {
            found = Some(index);
        }
        present.push(format!("`{name}`"));
    }
    found.ok_or_else(|| ArchiveError::NoImage { wanted: wanted.to_owned(), present })
}

/// The last bytes of a file, at the places that they have in it.
struct Tail {
    bytes: Cursor<Bytes>,
    start: u64,
    total: u64,
}

impl Tail {
    fn new(bytes: Bytes, total: u64) -> Self {
        Self { start: total - bytes.len() as u64, bytes: Cursor::new(bytes), total }
    }
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bytes.read(buffer)
    }
}

impl Seek for Tail {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.total.checked_add_signed(by),
            SeekFrom::Current(by) => (self.start + self.bytes.position()).checked_add_signed(by),
        };
        let inside = at.and_then(|at| at.checked_sub(self.start));
        let inside = inside
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "its directory is too large"))?;
        self.bytes.set_position(inside);
        Ok(self.start + inside)
    }
}
