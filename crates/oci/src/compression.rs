//! How a file or a layer is compressed: its first bytes say so, and what a document says is not needed.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;

use crate::blob::Blob;

/// A compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
    /// One that images do not have, by its name.
    Other(&'static str),
}

/// First bytes of each; RFC 1952, RFC 8878, and the formats of xz and bzip2.
const MAGIC: [(&[u8], Compression); 4] = [
    (&[0x1f, 0x8b], Compression::Gzip),
    (&[0x28, 0xb5, 0x2f, 0xfd], Compression::Zstd),
    (&[0xfd, b'7', b'z', b'X', b'Z', 0], Compression::Other("xz")),
    (b"BZh", Compression::Other("bzip2")),
];

impl Compression {
    /// Looks at the first bytes of `blob`.
    pub(crate) fn of(blob: &Blob) -> io::Result<Self> {
        let first = blob.part(0, 6).bytes(6)?;
        let found = MAGIC.iter().find(|(magic, _)| first.starts_with(magic));
        Ok(found.map_or(Self::None, |(_, compression)| *compression))
    }

    /// Returns what `packed` is unpacked.
    pub(crate) fn decoder<'a>(self, packed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let packed = BufReader::with_capacity(1 << 16, packed);
        Ok(match self {
            Self::None => Box::new(packed),
            Self::Gzip => Box::new(MultiGzDecoder::new(packed)),
            Self::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
            Self::Other(name) => {
                let text = format!("it is compressed with {name}; images use gzip or zstd");
                return Err(io::Error::new(io::ErrorKind::Unsupported, text));
            }
        })
    }
}
