//! Reads the entries of a tar archive: ustar, GNU and PAX, as Go's `archive/tar` does, which builders of images use.

use std::collections::BTreeMap;
use std::io::{self, Read};

use tar::{EntryType, Header};

use super::{BLOCK, Body, Content, Entry, Meta, number, padded, pax, sparse};
use crate::blob::Blob;

/// Longest name, link or set of PAX records in bytes, far above what file systems take.
const METADATA_LIMIT: u64 = 1 << 20;

/// Longest value of one extended attribute in bytes, as Linux has it.
const XATTR_LIMIT: usize = 1 << 16;

/// Why an archive cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Malformed {
    /// The archive itself.
    #[error("invalid tar archive at byte {at}: {reason}")]
    Archive { at: u64, reason: String },
    /// The file with it.
    #[error(transparent)]
    Read(#[from] io::Error),
}

/// The records of PAX, the last of each key.
pub(super) type Records = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads the entries one after the other.
#[derive(Debug)]
pub(crate) struct Entries<'a> {
    blob: &'a Blob,
    at: u64,
    done: bool,
}

/// What headers say about the entry that follows them.
#[derive(Debug, Default)]
struct Announced {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    records: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Reads the entries of the archive in `blob`.
pub(crate) fn entries(blob: &Blob) -> Entries<'_> {
    Entries { blob, at: 0, done: false }
}

impl Iterator for Entries<'_> {
    type Item = Result<Entry, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.entry().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

impl Entries<'_> {
    fn entry(&mut self) -> Result<Option<Entry>, Malformed> {
        let mut announced = Announced::default();
        let mut is_announced = false;
        loop {
            let Some(header) = self.header()? else {
                let is_cut = is_announced;
                return if is_cut {
                    Err(self.malformed("it ends before the entry that it announces"))
                } else {
                    Ok(None)
                };
            };
            is_announced = true;
            match header.entry_type() {
                EntryType::GNULongName => announced.name = Some(self.text(&header)?),
                EntryType::GNULongLink => announced.link = Some(self.text(&header)?),
                EntryType::XHeader => {
                    let bytes = self.metadata(&header)?;
                    let records = pax::records(&bytes);
                    announced.records.extend(records.ok_or_else(|| self.malformed("invalid PAX records"))?);
                }
                // A comment, in practice; Go and Docker ignore it too.
                EntryType::XGlobalHeader => drop(self.metadata(&header)?),
                _ => return self.finish(&header, announced).map(Some),
            }
        }
    }

    /// Reads a header; none at the end.
    fn header(&mut self) -> Result<Option<Header>, Malformed> {
        let block = self.blob.part(self.at, BLOCK);
        if block.len() == 0 {
            return Ok(None);
        }
        if block.len() < BLOCK {
            return Err(self.malformed("it ends inside of a header"));
        }
        let mut header = Header::new_old();
        block.reader().read_exact(header.as_mut_bytes())?;
        if *header.as_bytes() == [0; 512] {
            return Ok(None);
        }
        let mut copy = header.clone();
        copy.set_cksum();
        if header.cksum().ok() != copy.cksum().ok() {
            return Err(self.malformed("a header with a wrong checksum"));
        }
        self.at += BLOCK;
        Ok(Some(header))
    }

    /// Reads the content of an entry that describes the next one.
    fn metadata(&mut self, header: &Header) -> Result<Vec<u8>, Malformed> {
        let size = self.size(header)?;
        if size > METADATA_LIMIT {
            return Err(self.malformed("a name or a set of attributes of more than 1 MiB"));
        }
        let blob = self.take(size)?;
        Ok(blob.bytes(METADATA_LIMIT)?)
    }

    fn text(&mut self, header: &Header) -> Result<Vec<u8>, Malformed> {
        let mut text = self.metadata(header)?;
        let end = text.iter().position(|byte| *byte == 0).unwrap_or(text.len());
        text.truncate(end);
        Ok(text)
    }

    /// Takes the next `size` bytes.
    fn take(&mut self, size: u64) -> Result<Blob, Malformed> {
        let blob = self.blob.part(self.at, size);
        let next = padded(size).and_then(|padded| self.at.checked_add(padded));
        match next {
            Some(next) if blob.len() == size => {
                self.at = next;
                Ok(blob)
            }
            _ => Err(self.malformed("it is truncated: it ends inside of a file")),
        }
    }

    fn finish(&mut self, header: &Header, announced: Announced) -> Result<Entry, Malformed> {
        let repeated = announced.records;
        let mut records: Records = repeated.iter().cloned().collect();
        records.retain(|_, value| !value.is_empty());
        let text = |key: &str| records.get(key.as_bytes()).cloned();
        let name = text("GNU.sparse.name").or_else(|| text("path")).or(announced.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = text("linkpath").or(announced.link);
        let link = link.unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned());
        let meta = self.meta(header, &records)?;
        let body = match header.entry_type() {
            // Before POSIX a directory was a file whose name ends in a slash.
            EntryType::Regular if name.ends_with(b"/") => Body::Directory,
            EntryType::Regular | EntryType::Continuous => {
                let size = match records.get(b"size".as_slice()) {
                    Some(size) => self.decimal(size, "size")?,
                    None => self.size(header)?,
                };
                let data = self.take(size)?;
                let content = sparse::of_pax(&data, &records, &repeated);
                Body::File(content.ok_or_else(|| self.malformed("an invalid map of a sparse file"))?)
            }
            EntryType::GNUSparse => Body::File(self.gnu_sparse(header)?),
            // These have no content, whatever their size says.
            EntryType::Directory => Body::Directory,
            EntryType::Symlink => Body::Symlink(link),
            EntryType::Link => Body::HardLink(link),
            EntryType::Fifo => Body::Fifo,
            EntryType::Char | EntryType::Block => Body::Device,
            other => {
                return Err(self.malformed(format!("an entry of the unknown type {:#04x}", other.as_byte())));
            }
        };
        Ok(Entry { name, meta, body })
    }

    fn gnu_sparse(&mut self, header: &Header) -> Result<Content, Malformed> {
        let size = self.size(header)?;
        let mut map = sparse::GnuMap::new(header).ok_or_else(|| self.malformed("an invalid sparse file"))?;
        while map.continues() {
            let block = self.take(BLOCK)?;
            map.extend(&block)?.ok_or_else(|| self.malformed("an invalid map of a sparse file"))?;
        }
        let data = self.take(size)?;
        map.content(&data).ok_or_else(|| self.malformed("an invalid map of a sparse file"))
    }

    fn meta(&self, header: &Header, records: &Records) -> Result<Meta, Malformed> {
        let old = header.as_old();
        let owner = |key: &'static str, field: &[u8]| {
            let id = match records.get(key.as_bytes()) {
                Some(text) => self.decimal(text, key)?,
                None => self.number(field, key)?,
            };
            // The last one means "unchanged" to the kernel.
            let id = u32::try_from(id).ok().filter(|id| *id != u32::MAX);
            id.ok_or_else(|| self.malformed(format!("an invalid {key}")))
        };
        let mtime = match records.get(b"mtime".as_slice()) {
            Some(text) => time(text).ok_or_else(|| self.malformed("an invalid mtime"))?,
            None => self.signed(&old.mtime, "mtime")?.to_string(),
        };
        let mut xattrs = BTreeMap::new();
        for (key, value) in records {
            if let Some(name) = key.strip_prefix(pax::XATTR) {
                if value.len() > XATTR_LIMIT {
                    return Err(self.malformed("an extended attribute of more than 64 KiB"));
                }
                xattrs.insert(name.to_vec(), value.clone());
            }
        }
        Ok(Meta {
            mode: u32::try_from(self.number(&old.mode, "mode")? & 0o7777).unwrap_or_default(),
            uid: owner("uid", &old.uid)?,
            gid: owner("gid", &old.gid)?,
            mtime,
            xattrs,
        })
    }

    fn size(&self, header: &Header) -> Result<u64, Malformed> {
        self.number(&header.as_old().size, "size")
    }

    fn number(&self, field: &[u8], what: &str) -> Result<u64, Malformed> {
        let number = self.signed(field, what)?;
        u64::try_from(number).map_err(|_| self.malformed(format!("an invalid {what}")))
    }

    fn signed(&self, field: &[u8], what: &str) -> Result<i64, Malformed> {
        number::read(field).ok_or_else(|| self.malformed(format!("an invalid {what}")))
    }

    fn decimal(&self, text: &[u8], what: &str) -> Result<u64, Malformed> {
        decimal(text).ok_or_else(|| self.malformed(format!("an invalid {what}")))
    }

    fn malformed(&self, reason: impl Into<String>) -> Malformed {
        Malformed::Archive { at: self.at, reason: reason.into() }
    }
}

/// Reads a decimal number without a sign.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    let is_plain = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_plain)?.parse().ok()
}

/// Returns a time of PAX, unless it is something else; a fraction of zero is left out.
fn time(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = seconds.strip_prefix('-').unwrap_or(seconds);
    let is_fraction = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let seconds = seconds.parse::<i64>().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    match fraction.trim_end_matches('0') {
        _ if !is_fraction => None,
        "" => Some(seconds.to_string()),
        fraction => Some(format!("{}.{fraction}", text.split_once('.').map_or(text, |(seconds, _)| seconds))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::*;

    fn blob(bytes: &[u8]) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Blob::of_file(file).unwrap()
    }

    /// A header of the given type whose other bytes are those of `noise` where that is not zero.
    fn header(kind: u8, size: u64, noise: &[(usize, u8)]) -> Vec<u8> {
        let mut header = Header::new_gnu();
        for (at, byte) in noise {
            header.as_mut_bytes()[*at] = *byte;
        }
        header.set_entry_type(EntryType::new(kind));
        header.set_size(size);
        header.set_cksum();
        header.as_bytes().to_vec()
    }

    #[test]
    fn a_size_beyond_the_end_is_a_truncated_archive() {
        for kind in *b"0xLSg" {
            for size in [1, 1 << 19, 1 << 40, u64::MAX, u64::MAX - 511] {
                let bytes = header(kind, size, &[(0, b'x')]);
                let found: Vec<_> = entries(&blob(&bytes)).collect();
                assert!(
                    matches!(found.as_slice(), [Err(Malformed::Archive { .. })]),
                    "{kind} {size}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn directories_and_links_have_no_content_whatever_their_size() {
        let bytes = [
            header(b'5', 1024, &[(0, b'd')]),
            header(b'1', 700, &[(0, b'l')]),
            header(b'0', 0, &[(0, b'f')]),
        ];
        let found: Vec<_> = entries(&blob(&bytes.concat())).map(|entry| entry.unwrap().name).collect();
        assert_eq!(found, [b"d", b"l", b"f"]);
    }

    proptest! {
        #[test]
        fn no_archive_panics(
            parts in proptest::collection::vec(
                (
                    proptest::sample::select(b"0157xgLKS26\0".to_vec()),
                    proptest::collection::vec((0..512_usize, any::<u8>()), 0..12),
                    "([0-9]{1,2} (path|size|mtime|uid|GNU.sparse.(major|map|size|offset|realsize))=[-0-9,.]{0,6}\n){0,4}",
                ),
                0..6,
            ),
        ) {
            let mut bytes = Vec::new();
            for (kind, noise, text) in parts {
                bytes.extend(header(kind, text.len() as u64, &noise));
                bytes.extend(text.as_bytes());
                bytes.resize(bytes.len().next_multiple_of(512), 0);
            }
            for entry in entries(&blob(&bytes)) {
                let Ok(Entry { body: Body::File(content), .. }) = entry else { continue };
                let length: u64 = content.segments.iter().map(|segment| segment.data.len()).sum();
                prop_assert!(length <= content.size);
            }
        }
    }
}
