//! The bundle: a tar archive of all files that are copied over the guest's root.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use walkdir::WalkDir;

use crate::inputs::InputError;

/// The path of the guest's program in the guest.
pub const STACKD_PATH: &str = "usr/lib/stack/stackd";

/// The path of a list in the guest: the packages that its system has, including those of the services, besides the essential ones.
pub const PACKAGES_PATH: &str = "usr/lib/stack/packages";

/// A bundle under construction, by paths in the guest. Equal content gives equal bytes: entries are sorted, times are the epoch,
/// owners are root, and modes are 0755 or 0644 by the executable bit.
#[derive(Debug, Clone, Default)]
pub struct Bundle(BTreeMap<PathBuf, Entry>);

/// What is at a path.
#[derive(Debug, Clone)]
enum Entry {
    Directory,
    /// A symbolic link to this.
    Link(PathBuf),
    /// The file of the host.
    File(PathBuf),
    /// A file with this text, which no one executes.
    Text(String),
}

/// Why something cannot be put into a bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Something else is there.
    #[error("two parts of the image have the file `/{}`", inside.display())]
    Taken {
        /// The path in the guest, without the first `/`.
        inside: PathBuf,
    },
}

impl Bundle {
    /// Adds the tree at `dir` at `prefix` ("" is the root).
    ///
    /// # Errors
    /// When something in it cannot be read, or one of its files is there already.
    pub fn tree(&mut self, dir: &Path, prefix: &str) -> Result<(), BundleError> {
        entries(dir, prefix)?.into_iter().try_for_each(|(inside, entry)| self.add(inside, entry))
    }

    /// Adds the tree at `dir` at the root; its files replace those that are there.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn replace(&mut self, dir: &Path) -> Result<(), BundleError> {
        self.0.extend(entries(dir, "")?);
        Ok(())
    }

    /// Adds the file `path` of the host.
    ///
    /// # Errors
    /// When there is one at this place already.
    pub fn file(&mut self, path: &Path, inside: &str) -> Result<(), BundleError> {
        self.add(inside.into(), Entry::File(path.to_owned()))
    }

    /// Adds a file with this text.
    ///
    /// # Errors
    /// When there is one at this place already.
    pub fn text(&mut self, inside: &str, text: String) -> Result<(), BundleError> {
        self.add(inside.into(), Entry::Text(text))
    }

    /// Adds a symbolic link to `target`.
    ///
    /// # Errors
    /// When there is something at this place already.
    pub fn link(&mut self, inside: &str, target: impl Into<PathBuf>) -> Result<(), BundleError> {
        self.add(inside.into(), Entry::Link(target.into()))
    }

    fn add(&mut self, inside: PathBuf, entry: Entry) -> Result<(), BundleError> {
        let both_directories = |one: &Entry| matches!((one, &entry), (Entry::Directory, Entry::Directory));
        if self.0.get(&inside).is_some_and(|known| !both_directories(known)) {
            return Err(BundleError::Taken { inside });
        }
        self.0.insert(inside, entry);
        Ok(())
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file of the host cannot be read, or the archive cannot be written.
    pub fn write<W: Write>(&self, to: W) -> Result<W, InputError> {
        let mut archive = Builder::new(to);
        for (inside, entry) in &self.0 {
            let path = if let Entry::File(path) = entry { path } else { inside };
            append(&mut archive, inside, entry)
                .map_err(|source| InputError { path: path.clone(), source })?;
        }
        archive.into_inner().map_err(|source| InputError { path: "bundle.tar".into(), source })
    }
}

/// Lists what is in the tree at `dir`, with the paths that it has at `prefix`.
fn entries(dir: &Path, prefix: &str) -> Result<Vec<(PathBuf, Entry)>, InputError> {
    let mut entries = Vec::new();
    for entry in WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| InputError {
            path: error.path().unwrap_or(dir).to_owned(),
            source: error.into(),
        })?;
        let path = entry.path();
        let inside = Path::new(prefix).join(path.strip_prefix(dir).unwrap_or(path));
        let kind = entry.file_type();
        let content = if kind.is_dir() {
            Entry::Directory
        } else if kind.is_symlink() {
            let target = fs::read_link(path);
            Entry::Link(target.map_err(|source| InputError { path: path.to_owned(), source })?)
        } else {
            Entry::File(path.to_owned())
        };
        entries.push((inside, content));
    }
    Ok(entries)
}

fn append<W: Write>(archive: &mut Builder<W>, inside: &Path, entry: &Entry) -> io::Result<()> {
    match entry {
        Entry::Directory => {
            archive.append_data(&mut header(EntryType::Directory, 0o755, 0), inside, io::empty())
        }
        Entry::Link(target) => archive.append_link(&mut header(EntryType::Symlink, 0o777, 0), inside, target),
        Entry::Text(text) => {
            let mut header = header(EntryType::Regular, 0o644, text.len() as u64);
            archive.append_data(&mut header, inside, text.as_bytes())
        }
        Entry::File(path) => {
            let file = File::open(path)?;
            let metadata = file.metadata()?;
            let mode = if metadata.permissions().mode() & 0o111 != 0 { 0o755 } else { 0o644 };
            archive.append_data(&mut header(EntryType::Regular, mode, metadata.len()), inside, file)
        }
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
        let mut bundle = Bundle::default();
        bundle.tree(dir, "").unwrap();
        bundle.file(&dir.join("step"), STACKD_PATH).unwrap();
        bundle.write(Vec::new()).unwrap()
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

    #[test]
    fn no_file_is_hidden_by_another_unless_it_is_meant_to_be() {
        let (one, other) = (tree(), tree());
        let mut bundle = Bundle::default();
        bundle.tree(one.path(), "").unwrap();
        let error = bundle.tree(other.path(), "").unwrap_err().to_string();
        assert_eq!(error, "two parts of the image have the file `/etc/link`");
        for result in [bundle.text("step", String::new()), bundle.link("step", "x")] {
            assert!(matches!(result, Err(BundleError::Taken { .. })));
        }
        fs::write(other.path().join("etc/stack/stack.env"), "A=2\n").unwrap();
        bundle.replace(other.path()).unwrap();
        let bytes = bundle.write(Vec::new()).unwrap();
        assert!(bytes.windows(4).any(|window| window == b"A=2\n"));
        assert!(!bytes.windows(4).any(|window| window == b"A=1\n"));
    }
}
