//! The bundle: a tar archive of everything that is laid over the guest's root.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};
use walkdir::WalkDir;

use crate::inputs::InputError;

/// Where the guest's program lies in the guest.
pub const STACKD_PATH: &str = "usr/lib/stack/stackd";

/// A bundle under construction. Equal content gives equal bytes: entries are sorted, times are the epoch, owners are
/// root, and modes are 0755 or 0644 by the executable bit.
pub struct Bundle<W: Write>(Builder<W>);

impl<W: Write> Bundle<W> {
    /// An empty bundle.
    pub fn new(to: W) -> Self {
        Self(Builder::new(to))
    }

    /// Adds the tree at `dir` at `prefix` ("" is the root).
    ///
    /// # Errors
    /// When something in it cannot be read, or the bundle cannot be written.
    pub fn tree(&mut self, dir: &Path, prefix: &str) -> Result<(), InputError> {
        for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| InputError {
                path: error.path().unwrap_or(dir).to_owned(),
                source: error.into(),
            })?;
            let inside = entry.path().strip_prefix(dir).unwrap_or(entry.path());
            let inside = Path::new(prefix).join(inside);
            let kind = entry.file_type();
            let mut add = || -> io::Result<()> {
                if kind.is_dir() {
                    let mut header = header(EntryType::Directory, 0o755, 0);
                    self.0.append_data(&mut header, &inside, io::empty())
                } else if kind.is_symlink() {
                    let mut header = header(EntryType::Symlink, 0o777, 0);
                    self.0.append_link(&mut header, &inside, fs::read_link(entry.path())?)
                } else {
                    append(&mut self.0, entry.path(), &inside)
                }
            };
            add().map_err(|source| InputError { path: entry.path().to_owned(), source })?;
        }
        Ok(())
    }

    /// Adds one file.
    ///
    /// # Errors
    /// When it cannot be read, or the bundle cannot be written.
    pub fn file(&mut self, path: &Path, inside: &str) -> Result<(), InputError> {
        append(&mut self.0, path, Path::new(inside))
            .map_err(|source| InputError { path: path.to_owned(), source })
    }

    /// Ends the archive.
    ///
    /// # Errors
    /// When the bundle cannot be written.
    pub fn finish(self) -> io::Result<W> {
        self.0.into_inner()
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header
}

fn append<W: Write>(builder: &mut Builder<W>, path: &Path, inside: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    let mode = if metadata.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 };
    builder.append_data(&mut header(EntryType::Regular, mode, metadata.len()), inside, file)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("etc/stack")).unwrap();
        fs::write(dir.path().join("etc/stack/stack.env"), "A=1\n").unwrap();
        let step = dir.path().join("step");
        fs::write(&step, "#!/bin/sh\n").unwrap();
        fs::set_permissions(&step, fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("stack/stack.env", dir.path().join("etc/link")).unwrap();
        dir
    }

    fn bundle(dir: &Path) -> Vec<u8> {
        let mut bundle = Bundle::new(Vec::new());
        bundle.tree(dir, "").unwrap();
        bundle.file(&dir.join("step"), STACKD_PATH).unwrap();
        bundle.finish().unwrap()
    }

    #[test]
    fn equal_content_gives_equal_bytes_whatever_the_times_and_modes() {
        let (one, other) = (tree(), tree());
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = File::options().write(true).open(other.path().join("etc/stack/stack.env")).unwrap();
        file.set_modified(old).unwrap();
        file.set_permissions(fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(bundle(one.path()), bundle(other.path()));
    }

    #[test]
    fn modes_follow_the_executable_bit_and_owners_are_root() {
        let bytes = bundle(tree().path());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let listing: Vec<_> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                let target = header.link_name().unwrap().map(|path| format!(" -> {}", path.display()));
                format!(
                    "{:o} {}:{} {}{}",
                    header.mode().unwrap(),
                    header.uid().unwrap(),
                    header.gid().unwrap(),
                    entry.path().unwrap().display(),
                    target.unwrap_or_default()
                )
            })
            .collect();
        insta::assert_snapshot!(listing.join("\n"), @r"
        755 0:0 etc
        777 0:0 etc/link -> stack/stack.env
        755 0:0 etc/stack
        644 0:0 etc/stack/stack.env
        755 0:0 step
        755 0:0 usr/lib/stack/stackd
        ");
    }
}
