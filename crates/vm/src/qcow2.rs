//! The header of a qcow2 image, as far as it names what an image needs in addition to its own file.
//!
//! The format is that of `docs/interop/qcow2.rst` in QEMU's sources. All numbers are big-endian.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use base::files::FileError;

/// Bytes at the beginning of a file that hold the header with all of its extensions, of the images that QEMU writes: they take less
/// than a kilobyte.
const HEAD_BYTES: u64 = 16 << 10;

/// What a qcow2 file begins with.
const MAGIC: [u8; 4] = *b"QFI\xfb";

/// Length of the header of version 2, which does not say it.
const LENGTH_OF_V2: u64 = 72;

/// Shortest header of version 3.
const LENGTH_OF_V3: u64 = 104;

/// Sizes of a cluster, as powers of two, that QEMU opens.
const CLUSTER_BITS: std::ops::RangeInclusive<u32> = 9..=21;

/// Longest name of another file, in bytes.
const NAME_LIMIT: usize = 1023;

/// Extension with the name of the external data file.
const DATA_FILE: u32 = 0x4441_5441;

/// Incompatible feature: QEMU found the image's metadata to be wrong.
const CORRUPT: u64 = 1 << 1;

/// Incompatible feature: the guest's data is in another file.
const EXTERNAL_DATA: u64 = 1 << 2;

/// All incompatible features of the format: dirty, corrupt, external data, compression type, extended level-2 entries.
const KNOWN_FEATURES: u64 = 0b1_1111;

/// What an image needs and is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Size that a guest sees, in bytes.
    pub virtual_size: u64,
    /// The file that it is an overlay of, as it is written in the image.
    pub backing: Option<String>,
    /// The file that the guest's data is in, where it is not this one.
    pub data_file: Option<String>,
    /// Whether its content is encrypted.
    pub encrypted: bool,
    /// Whether QEMU has marked it as damaged.
    pub corrupt: bool,
    /// Incompatible features that this program does not know, as bits.
    pub unknown_features: u64,
}

/// Why the beginning of a file is not a valid header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// It begins with something else.
    #[error("it is not a qcow2 image")]
    Format,
    /// It is of another version of the format.
    #[error("it is of version {0} of qcow2, this program reads 2 and 3")]
    Version(u32),
    /// It ends within the header, or the header within itself.
    #[error("its header is cut off")]
    Truncated,
    /// No image has such a value.
    #[error("its header has an impossible {what}: {value}")]
    Impossible {
        /// Which field.
        what: &'static str,
        /// What it says.
        value: u64,
    },
}

impl Header {
    /// Reads the header at the beginning of the image in `file`.
    ///
    /// # Errors
    /// When the file cannot be read; and within, when it is not an image.
    pub fn read(file: &File) -> io::Result<Result<Self, HeaderError>> {
        let mut head = Vec::with_capacity(4096);
        file.take(HEAD_BYTES).read_to_end(&mut head)?;
        Ok(Self::parse(&head))
    }

    /// Returns the size that a guest sees of the image at `path`, in bytes. Works while a machine writes to it.
    ///
    /// # Errors
    /// When it cannot be read, or is not an image.
    pub fn virtual_size(path: &Path) -> Result<u64, FileError> {
        let header = File::open(path).and_then(|file| Self::read(&file)?.map_err(io::Error::other));
        Ok(header.map_err(FileError::of("read", path))?.virtual_size)
    }

    /// The header that a file with the beginning `head` has.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(head: &[u8]) -> Result<Self, HeaderError> {
        if head.get(..MAGIC.len()) != Some(&MAGIC) {
            return Err(HeaderError::Format);
        }
        let version = u32_at(head, 4)?;
        let (length, features) = match version {
            2 => (LENGTH_OF_V2, 0),
            3 => (u64::from(u32_at(head, 100)?), u64_at(head, 72)?),
            other => return Err(HeaderError::Version(other)),
        };
        let impossible = |what, value| Err(HeaderError::Impossible { what, value });
        let cluster_bits = u32_at(head, 20)?;
        if !CLUSTER_BITS.contains(&cluster_bits) {
            return impossible("cluster size", cluster_bits.into());
        }
        let cluster = 1 << cluster_bits;
        if version == 3 && !(LENGTH_OF_V3..=cluster).contains(&length) {
            return impossible("length", length);
        }
        let (at, bytes) = (u64_at(head, 8)?, u64::from(u32_at(head, 16)?));
        let backing = (at != 0).then(|| name(head, at, bytes));
        // Extensions end where the backing file's name begins, or with the first cluster.
        let end = if at == 0 { cluster } else { at.min(cluster) };
        let data_file = match data_file(head, length, end)? {
            None if features & EXTERNAL_DATA != 0 => Some(String::new()),
            found => found,
        };
        Ok(Self {
            virtual_size: u64_at(head, 24)?,
            backing,
            data_file,
            encrypted: u32_at(head, 32)? != 0,
            corrupt: features & CORRUPT != 0,
            unknown_features: features & !KNOWN_FEATURES,
        })
    }
}

/// The external data file that the extensions from `at` to `end` name.
fn data_file(head: &[u8], mut at: u64, end: u64) -> Result<Option<String>, HeaderError> {
    while at < end {
        let kind = u32_at(head, at)?;
        if kind == 0 {
            break;
        }
        let length = u64::from(u32_at(head, at + 4)?);
        if length > end.saturating_sub(at + 8) {
            return Err(HeaderError::Impossible { what: "length of an extension", value: length });
        }
        if kind == DATA_FILE {
            return Ok(Some(name(head, at + 8, length)));
        }
        at += 8 + length.next_multiple_of(8);
    }
    Ok(None)
}

/// The name in `length` bytes from `at`; nothing of one that is not in `head`. It is only shown.
fn name(head: &[u8], at: u64, length: u64) -> String {
    let (at, length) = (usize::try_from(at).ok(), usize::try_from(length).unwrap_or(NAME_LIMIT));
    let bytes = at.and_then(|at| head.get(at..at.checked_add(length.min(NAME_LIMIT))?));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn bytes_at<const N: usize>(head: &[u8], at: u64) -> Result<[u8; N], HeaderError> {
    let at = usize::try_from(at).ok();
    let bytes = at.and_then(|at| head.get(at..at.checked_add(N)?)?.try_into().ok());
    bytes.ok_or(HeaderError::Truncated)
}

fn u32_at(head: &[u8], at: u64) -> Result<u32, HeaderError> {
    bytes_at(head, at).map(u32::from_be_bytes)
}

fn u64_at(head: &[u8], at: u64) -> Result<u64, HeaderError> {
    bytes_at(head, at).map(u64::from_be_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The beginning of an image of 3 GiB as `qemu-img` 10.2 writes it.
    pub(crate) fn sample() -> Vec<u8> {
        let mut head = vec![0; 1024];
        put(&mut head, 0, &MAGIC);
        put(&mut head, 4, &3_u32.to_be_bytes());
        put(&mut head, 20, &16_u32.to_be_bytes());
        put(&mut head, 24, &(3_u64 << 30).to_be_bytes());
        put(&mut head, 72, &(1_u64 << 3).to_be_bytes());
        put(&mut head, 96, &4_u32.to_be_bytes());
        put(&mut head, 100, &112_u32.to_be_bytes());
        head[104] = 1;
        // The table of the features' names.
        put(&mut head, 112, &[0x68, 0x03, 0xf8, 0x57, 0, 0, 1, 0x80]);
        head
    }

    pub(crate) fn put(head: &mut [u8], at: usize, bytes: &[u8]) {
        head[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn plain() -> Header {
        Header {
            virtual_size: 3 << 30,
            backing: None,
            data_file: None,
            encrypted: false,
            corrupt: false,
            unknown_features: 0,
        }
    }

    #[test]
    fn a_plain_image_needs_nothing_else() {
        assert_eq!(Header::parse(&sample()), Ok(plain()));
        let mut old = sample();
        put(&mut old, 4, &2_u32.to_be_bytes());
        put(&mut old, 72, &[0; 64]);
        assert_eq!(Header::parse(&old), Ok(plain()));
    }

    #[test]
    fn other_files_are_named() {
        let mut overlay = sample();
        put(&mut overlay, 8, &600_u64.to_be_bytes());
        put(&mut overlay, 16, &11_u32.to_be_bytes());
        put(&mut overlay, 600, b"/etc/shadow");
        assert_eq!(Header::parse(&overlay).unwrap().backing.as_deref(), Some("/etc/shadow"));
        // One whose name lies elsewhere is one all the same.
        put(&mut overlay, 8, &(1_u64 << 40).to_be_bytes());
        assert_eq!(Header::parse(&overlay).unwrap().backing.as_deref(), Some(""));

        let mut apart = sample();
        put(&mut apart, 112 + 8 + 0x180, &[0x44, 0x41, 0x54, 0x41, 0, 0, 0, 8]);
        put(&mut apart, 112 + 16 + 0x180, b"/dev/sda");
        assert_eq!(Header::parse(&apart).unwrap().data_file.as_deref(), Some("/dev/sda"));
        let mut unnamed = sample();
        put(&mut unnamed, 72, &EXTERNAL_DATA.to_be_bytes());
        assert_eq!(Header::parse(&unnamed).unwrap().data_file.as_deref(), Some(""));
    }

    #[test]
    fn encryption_damage_and_unknown_features_are_seen() {
        let changed = |at: usize, bytes: &[u8]| {
            let mut head = sample();
            put(&mut head, at, bytes);
            Header::parse(&head).unwrap()
        };
        assert!(changed(32, &2_u32.to_be_bytes()).encrypted);
        assert!(changed(72, &CORRUPT.to_be_bytes()).corrupt);
        assert_eq!(changed(72, &(1_u64 << 40).to_be_bytes()).unknown_features, 1 << 40);
    }

    #[test]
    fn what_is_no_header_is_refused_with_what_is_wrong() {
        let refused = |at: usize, bytes: &[u8]| {
            let mut head = sample();
            put(&mut head, at, bytes);
            Header::parse(&head).unwrap_err().to_string()
        };
        assert_eq!(refused(0, b"KDMV"), "it is not a qcow2 image");
        assert_eq!(Header::parse(b"").unwrap_err(), HeaderError::Format);
        assert_eq!(refused(4, &[0, 0, 0, 9]), "it is of version 9 of qcow2, this program reads 2 and 3");
        assert_eq!(refused(20, &[0, 0, 0, 63]), "its header has an impossible cluster size: 63");
        assert_eq!(refused(100, &[0, 0, 0, 8]), "its header has an impossible length: 8");
        let text = refused(116, &[0xff, 0xff, 0xff, 0xff]);
        assert_eq!(text, "its header has an impossible length of an extension: 4294967295");
        assert_eq!(Header::parse(&sample()[..64]).unwrap_err(), HeaderError::Truncated);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
            let _ = Header::parse(&bytes);
        }

        #[test]
        fn no_change_of_a_header_makes_the_reader_panic(
            changes in prop::collection::vec((0_usize..1024, any::<u8>()), 1..24),
            length in 0_usize..1024,
        ) {
            let mut head = sample();
            for (at, byte) in changes {
                head[at] = byte;
            }
            head.truncate(length.max(112));
            if let Ok(header) = Header::parse(&head) {
                prop_assert!(header.backing.is_none_or(|name| name.chars().count() <= NAME_LIMIT));
            }
        }
    }
}
