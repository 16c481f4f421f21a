//! Layers, entry by entry. What real builders never write can be written, too.

use tar::{Builder, EntryType, Header};

/// Bytes at the end of an archive.
const END: usize = 1024;

/// Owner, mode, time and extended attributes of an entry.
#[derive(Debug, Clone)]
pub struct Attributes {
    /// Permission bits.
    pub mode: u32,
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Seconds since the epoch.
    pub mtime: u64,
    /// Names and values.
    pub xattrs: Vec<(String, Vec<u8>)>,
}

impl Attributes {
    /// A mode; the rest is root's, and of a fixed time.
    pub fn mode(mode: u32) -> Self {
        Self { mode, uid: 0, gid: 0, mtime: 1_700_000_000, xattrs: Vec::new() }
    }

    /// Sets the owner.
    #[must_use]
    pub fn owner(self, uid: u32, gid: u32) -> Self {
        Self { uid, gid, ..self }
    }

    /// Sets the time in seconds since the epoch.
    #[must_use]
    pub fn mtime(self, mtime: u64) -> Self {
        Self { mtime, ..self }
    }

    /// Adds an extended attribute.
    #[must_use]
    pub fn xattr(mut self, name: &str, value: &[u8]) -> Self {
        self.xattrs.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// The archive of a layer in the making.
#[derive(Debug, Default)]
pub struct Layer {
    bytes: Vec<u8>,
    is_finished: bool,
}

impl Layer {
    /// Begins an empty layer.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a finished tar archive, such as a root file system that another program has packed. Nothing can be added to it.
    pub fn of_tar(bytes: Vec<u8>) -> Self {
        Self { bytes, is_finished: true }
    }

    /// Adds a directory with mode 0755.
    #[must_use]
    pub fn directory(self, name: &str) -> Self {
        self.directory_with(name, &Attributes::mode(0o755))
    }

    /// Adds a directory.
    #[must_use]
    pub fn directory_with(self, name: &str, attributes: &Attributes) -> Self {
        self.entry(EntryType::Directory, name, "", b"", attributes)
    }

    /// Adds a file with mode 0644.
    #[must_use]
    pub fn file(self, name: &str, content: &[u8]) -> Self {
        self.file_with(name, content, &Attributes::mode(0o644))
    }

    /// Adds a file.
    #[must_use]
    pub fn file_with(self, name: &str, content: &[u8], attributes: &Attributes) -> Self {
        self.entry(EntryType::Regular, name, "", content, attributes)
    }

    /// Adds a symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"", &Attributes::mode(0o777))
    }

    /// Adds a hard link.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"", &Attributes::mode(0o644))
    }

    /// Adds a fifo.
    #[must_use]
    pub fn fifo(self, name: &str) -> Self {
        self.entry(EntryType::Fifo, name, "", b"", &Attributes::mode(0o600))
    }

    /// Adds a character device.
    #[must_use]
    pub fn device(self, name: &str) -> Self {
        self.entry(EntryType::Char, name, "", b"", &Attributes::mode(0o600))
    }

    /// Hides what lower layers have at `dir/name`, or at `name` if `dir` is empty.
    #[must_use]
    pub fn whiteout(self, dir: &str, name: &str) -> Self {
        let slash = if dir.is_empty() { "" } else { "/" };
        self.file(&format!("{dir}{slash}.wh.{name}"), b"")
    }

    /// Hides what lower layers have in the directory `dir`.
    #[must_use]
    pub fn opaque(self, dir: &str) -> Self {
        self.whiteout(dir, ".wh..opq")
    }

    /// Adds any entry. Names are written as they are, also those that lead out of the image.
    #[must_use]
    pub fn entry(
        mut self,
        kind: EntryType,
        name: &str,
        link: &str,
        content: &[u8],
        attributes: &Attributes,
    ) -> Self {
        assert!(!self.is_finished, "a finished archive takes no more entries");
        let mut builder = Builder::new(std::mem::take(&mut self.bytes));
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(attributes.mode);
        header.set_uid(attributes.uid.into());
        header.set_gid(attributes.gid.into());
        header.set_mtime(attributes.mtime);
        header.set_size(content.len() as u64);
        let keys: Vec<_> =
            attributes.xattrs.iter().map(|(name, value)| (format!("SCHILY.xattr.{name}"), value)).collect();
        let mut records: Vec<(&str, &[u8])> =
            keys.iter().map(|(key, value)| (key.as_str(), value.as_slice())).collect();
        let old = header.as_old_mut();
        for (key, text, field) in [("path", name, &mut old.name), ("linkpath", link, &mut old.linkname)] {
            if text.len() > field.len() {
                records.push((key, text.as_bytes()));
            }
            let length = text.len().min(field.len());
            field[..length].copy_from_slice(&text.as_bytes()[..length]);
        }
        if kind == EntryType::Char {
            header.set_device_major(1).expect("a GNU header has devices");
            header.set_device_minor(3).expect("a GNU header has devices");
        }
        header.set_cksum();
        let added = builder.append_pax_extensions(records).and_then(|()| builder.append(&header, content));
        added.expect("memory can be written");
        self.bytes = unfinished(builder);
        self
    }

    /// Returns the archive.
    pub fn tar(&self) -> Vec<u8> {
        let end = if self.is_finished { 0 } else { END };
        [self.bytes.as_slice(), &[0; END][..end]].concat()
    }
}

/// Returns what was written, without the end of an archive.
fn unfinished(builder: Builder<Vec<u8>>) -> Vec<u8> {
    let mut bytes = builder.into_inner().expect("memory can be written");
    bytes.truncate(bytes.len() - END);
    bytes
}
