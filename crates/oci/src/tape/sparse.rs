//! Sparse files: GNU's old form, and the three of PAX (GNU tar manual, "Storing Sparse Files").

use std::io::{self, Read};

use tar::{GnuExtSparseHeader, GnuSparseHeader, Header};

use super::read::{Records, decimal};
use super::{BLOCK, Content, Segment};
use crate::blob::Blob;

/// Most segments of a file.
const SEGMENTS: usize = 1 << 16;

/// The map of a file in GNU's old form, in the making.
#[derive(Debug)]
pub(super) struct GnuMap {
    size: u64,
    pairs: Vec<(u64, u64)>,
    continues: bool,
}

impl GnuMap {
    /// Reads the part in the header.
    pub(super) fn new(header: &Header) -> Option<Self> {
        let gnu = header.as_gnu()?;
        let mut map = Self { size: gnu.real_size().ok()?, pairs: Vec::new(), continues: gnu.is_extended() };
        map.add(&gnu.sparse)?;
        Some(map)
    }

    /// Whether another block of the map follows.
    pub(super) fn continues(&self) -> bool {
        self.continues
    }

    /// Reads another block; none if it is not one.
    pub(super) fn extend(&mut self, block: &Blob) -> io::Result<Option<()>> {
        let mut header = GnuExtSparseHeader::new();
        block.reader().read_exact(header.as_mut_bytes())?;
        self.continues = header.is_extended();
        Ok(self.add(header.sparse()))
    }

    fn add(&mut self, found: &[GnuSparseHeader]) -> Option<()> {
        for one in found.iter().filter(|one| !one.is_empty()) {
            self.pairs.push((one.offset().ok()?, one.length().ok()?));
        }
        (self.pairs.len() <= SEGMENTS).then_some(())
    }

    /// Returns the content with `data`, if the map fits it.
    pub(super) fn content(&self, data: &Blob) -> Option<Content> {
        content(self.size, &self.pairs, data)
    }
}

/// Returns the content of a file with `data`: sparse if the records say so; none if they do not fit it.
pub(super) fn of_pax(data: &Blob, records: &Records, repeated: &[(Vec<u8>, Vec<u8>)]) -> Option<Content> {
    let number = |key: &str| records.get(key.as_bytes()).map(|text| decimal(text));
    let real = number("GNU.sparse.realsize").or_else(|| number("GNU.sparse.size"));
    let Some(size) = real else {
        return Some(Content::dense(data.clone()));
    };
    if records.get(b"GNU.sparse.major".as_slice()).is_some_and(|major| major == b"1") {
        let (pairs, at) = map_in_data(data)?;
        return content(size?, &pairs, &data.part(at, data.len()));
    }
    let numbers: Option<Vec<u64>> = if let Some(map) = records.get(b"GNU.sparse.map".as_slice()) {
        map.split(|byte| *byte == b',').map(decimal).collect()
    } else {
        let of_map = |key: &[u8]| key == b"GNU.sparse.offset" || key == b"GNU.sparse.numbytes";
        repeated.iter().filter(|(key, _)| of_map(key)).map(|(_, text)| decimal(text)).collect()
    };
    content(size?, &pairs(&numbers?)?, data)
}

/// Reads the map that form 1.0 has before the data, and returns where these begin.
fn map_in_data(data: &Blob) -> Option<(Vec<(u64, u64)>, u64)> {
    let mut bytes = io::BufReader::new(data.reader()).bytes();
    let mut read = 0_u64;
    let mut line = || {
        let mut digits = Vec::new();
        loop {
            read += 1;
            match bytes.next()?.ok()? {
                b'\n' => return Some((decimal(&digits)?, read)),
                digit if digits.len() < 20 => digits.push(digit),
                _ => return None,
            }
        }
    };
    let (count, mut end): (u64, u64) = line()?;
    let count = usize::try_from(count).ok().filter(|count| *count <= SEGMENTS)?;
    let mut numbers = Vec::new();
    for _ in 0..count * 2 {
        let (number, read) = line()?;
        numbers.push(number);
        end = read;
    }
    Some((pairs(&numbers)?, end.next_multiple_of(BLOCK)))
}

fn pairs(numbers: &[u64]) -> Option<Vec<(u64, u64)>> {
    let (pairs, rest) = numbers.as_chunks();
    (rest.is_empty() && pairs.len() <= SEGMENTS).then(|| pairs.iter().map(|[at, len]| (*at, *len)).collect())
}

/// Gives each segment its part of `data`; none if they overlap or do not fit.
fn content(size: u64, pairs: &[(u64, u64)], data: &Blob) -> Option<Content> {
    let mut segments = Vec::new();
    let (mut end, mut at) = (0, 0);
    for (offset, len) in pairs.iter().copied() {
        let part = data.part(at, len);
        let next = offset.checked_add(len)?;
        // The data of each segment begins at a block to some readers, and directly after those before it to others.
        if offset < end || next > size || part.len() != len || at % BLOCK != 0 && len > 0 {
            return None;
        }
        if len > 0 {
            segments.push(Segment { offset, data: part });
        }
        (end, at) = (next, at + len);
    }
    Some(Content { size, segments })
}
