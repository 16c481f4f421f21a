//! Reads and writes tar archives as layers have them.
//!
//! The headers are those of crate `tar`. Its reader is not used: it ends a PAX record at the first line feed, which a binary
//! attribute such as `security.capability` may contain, and it knows no sparse files of PAX.

mod number;
pub(crate) mod pax;
pub(crate) mod read;
mod sparse;
pub(crate) mod write;

use std::collections::BTreeMap;

use crate::blob::Blob;

/// Bytes of a block.
const BLOCK: u64 = 512;

/// An entry.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Its name as it is written there.
    pub(crate) name: Vec<u8>,
    pub(crate) meta: Meta,
    pub(crate) body: Body,
}

/// What an entry is.
#[derive(Debug)]
pub(crate) enum Body {
    Directory,
    File(Content),
    Symlink(Vec<u8>),
    HardLink(Vec<u8>),
    Fifo,
    /// A character or block device.
    Device,
}

/// Owner, mode, time and attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Permission bits with setuid, setgid and sticky bit.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds since the epoch as a decimal number, perhaps negative, perhaps with a fraction.
    pub(crate) mtime: String,
    /// Extended attributes by name.
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// Content of a file.
#[derive(Debug, Clone)]
pub(crate) struct Content {
    /// Length of the file.
    pub(crate) size: u64,
    /// What is not zeroes, in order. A file without holes has one segment.
    pub(crate) segments: Vec<Segment>,
}

/// A part of a file.
#[derive(Debug, Clone)]
pub(crate) struct Segment {
    /// Where it is in the file.
    pub(crate) offset: u64,
    pub(crate) data: Blob,
}

impl Content {
    /// Takes `data` as a file without holes.
    fn dense(data: Blob) -> Self {
        Self { size: data.len(), segments: vec![Segment { offset: 0, data }] }
    }

    /// Whether the file has holes.
    fn is_sparse(&self) -> bool {
        !matches!(self.segments.as_slice(), [whole] if whole.data.len() == self.size)
    }

    /// Returns all of it as one range, if it has no holes.
    pub(crate) fn whole(&self) -> Option<&Blob> {
        self.segments.first().map(|segment| &segment.data).filter(|_| !self.is_sparse())
    }
}

/// Rounds up to whole blocks.
fn padded(size: u64) -> Option<u64> {
    size.checked_next_multiple_of(BLOCK)
}
