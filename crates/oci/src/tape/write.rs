//! Writes a tar archive for GNU tar, deterministically.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{EntryType, Header};

use super::{BLOCK, Content, Meta, pax};

/// [`BLOCK`] as a length in memory.
const BYTES: usize = 512;

/// Bytes of the name and of the link in a header.
const NAME: usize = 100;

/// Largest size and time that a header has as an octal number.
const OCTAL: u64 = (1 << 33) - 1;

/// Largest user or group that a header has as an octal number.
const OCTAL_ID: u32 = (1 << 21) - 1;

/// What is written.
#[derive(Debug, Clone, Copy)]
pub(crate) enum What<'a> {
    Directory,
    File(&'a Content),
    Symlink(&'a [u8]),
    /// A hard link to an entry before it.
    HardLink(&'a Path),
    Fifo,
    /// The character device 0:0, a whiteout to overlayfs.
    Whiteout,
}

/// Writes entries.
#[derive(Debug)]
pub(crate) struct Tape<W>(W);

impl<W: Write> Tape<W> {
    pub(crate) fn new(to: W) -> Self {
        Self(to)
    }

    /// Writes an entry at `path`, which is relative, or empty for the root.
    pub(crate) fn add(&mut self, path: &Path, meta: &Meta, what: What<'_>) -> io::Result<()> {
        let mut name = b"./".to_vec();
        name.extend_from_slice(path.as_os_str().as_bytes());
        if matches!(what, What::Directory) && !name.ends_with(b"/") {
            name.push(b'/');
        }
        let mut link = Vec::new();
        let kind = match what {
            What::Directory => EntryType::Directory,
            What::File(_) => EntryType::Regular,
            What::Symlink(target) => {
                link.extend_from_slice(target);
                EntryType::Symlink
            }
            What::HardLink(target) => {
                link.extend_from_slice(
                    Path::new(OsStr::from_bytes(b".")).join(target).as_os_str().as_bytes(),
                );
                EntryType::Link
            }
            What::Fifo => EntryType::Fifo,
            What::Whiteout => EntryType::Char,
        };
        let mut records = Vec::new();
        let mut header = header(kind, meta, &mut records)?;
        for (key, value) in &meta.xattrs {
            pax::append(&mut records, &pax::xattr_key(key), value);
        }
        let map = match what {
            What::File(content) if content.is_sparse() => map(content, &name, &mut records),
            _ => Vec::new(),
        };
        let size = if let What::File(content) = what {
            map.len() as u64 + content.segments.iter().map(|segment| segment.data.len()).sum::<u64>()
        } else {
            0
        };
        header.set_size(if size > OCTAL { 0 } else { size });
        if size > OCTAL {
            pax::append(&mut records, b"size", size.to_string().as_bytes());
        }
        if !records.is_empty() {
            self.describe(EntryType::XHeader, b"./PaxHeaders/entry", &records)?;
        }
        if name.len() > NAME {
            self.describe(EntryType::GNULongName, b"././@LongLink", &terminated(&name))?;
        }
        if link.len() > NAME {
            self.describe(EntryType::GNULongLink, b"././@LongLink", &terminated(&link))?;
        }
        set_names(&mut header, &name, &link);
        self.header(&mut header)?;
        if let What::File(content) = what {
            self.0.write_all(&map)?;
            for segment in &content.segments {
                io::copy(&mut segment.data.reader(), &mut self.0)?;
            }
            self.pad(size)?;
        }
        Ok(())
    }

    /// Writes the end of the archive.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.zeroes(2 * BLOCK)?;
        Ok(self.0)
    }

    /// Writes an entry that describes the next one.
    fn describe(&mut self, kind: EntryType, name: &[u8], content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        set_names(&mut header, name, b"");
        self.header(&mut header)?;
        self.0.write_all(content)?;
        self.pad(content.len() as u64)
    }

    fn header(&mut self, header: &mut Header) -> io::Result<()> {
        header.set_cksum();
        self.0.write_all(header.as_bytes())
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        self.zeroes(size.next_multiple_of(BLOCK) - size)
    }

    fn zeroes(&mut self, count: u64) -> io::Result<()> {
        io::copy(&mut io::repeat(0).take(count), &mut self.0).map(|_| ())
    }
}

/// Returns the header with all but names and size; what it cannot hold becomes a record.
///
/// Its magic is that of POSIX: GNU tar ignores the records of a sparse file beside its own.
fn header(kind: EntryType, meta: &Meta, records: &mut Vec<u8>) -> io::Result<Header> {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(meta.mode);
    for (key, id) in [("uid", meta.uid), ("gid", meta.gid)] {
        if id > OCTAL_ID {
            pax::append(records, key.as_bytes(), id.to_string().as_bytes());
        }
    }
    header.set_uid(if meta.uid > OCTAL_ID { 0 } else { meta.uid.into() });
    header.set_gid(if meta.gid > OCTAL_ID { 0 } else { meta.gid.into() });
    if kind == EntryType::Char {
        header.set_device_major(0)?;
        header.set_device_minor(0)?;
    }
    if let Some(mtime) = meta.mtime.parse().ok().filter(|mtime| *mtime <= OCTAL) {
        header.set_mtime(mtime);
    } else {
        header.set_mtime(0);
        pax::append(records, b"mtime", meta.mtime.as_bytes());
    }
    Ok(header)
}

/// Adds the records of a sparse file of PAX 1.0, and returns the map that precedes its data.
fn map(content: &Content, name: &[u8], records: &mut Vec<u8>) -> Vec<u8> {
    for (key, value) in [("major", "1"), ("minor", "0"), ("realsize", &content.size.to_string())] {
        pax::append(records, format!("GNU.sparse.{key}").as_bytes(), value.as_bytes());
    }
    pax::append(records, b"GNU.sparse.name", name);
    // A last segment of no bytes gives a file that ends in a hole its length, as GNU tar writes it.
    let end = content.segments.last().map_or(0, |last| last.offset + last.data.len());
    let tail = (end < content.size).then_some((content.size, 0));
    let segments = content.segments.iter().map(|segment| (segment.offset, segment.data.len()));
    let pairs: Vec<_> = segments.chain(tail).collect();
    let numbers = pairs.iter().flat_map(|(offset, len)| [*offset, *len]);
    let lines = std::iter::once(pairs.len() as u64).chain(numbers).map(|number| format!("{number}\n"));
    let mut map = lines.collect::<String>().into_bytes();
    map.resize(map.len().next_multiple_of(BYTES), 0);
    map
}

fn terminated(text: &[u8]) -> Vec<u8> {
    [text, &[0]].concat()
}

/// Writes as much of the names as the header has room for.
fn set_names(header: &mut Header, name: &[u8], link: &[u8]) {
    let old = header.as_old_mut();
    for (field, text) in [(&mut old.name, name), (&mut old.linkname, link)] {
        let length = text.len().min(NAME);
        field.fill(0);
        field[..length].copy_from_slice(&text[..length]);
    }
}
