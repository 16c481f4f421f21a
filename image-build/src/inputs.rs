//! Content keys: what an image is built from, as SHA-256 values. Equal keys mean that a build would create the same
//! image again.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use base::digest;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

/// Sources in the checkout that determine the image that equal inputs give: this crate, with the files that it includes, and
/// what it writes into the image.
const BUILDER: [&str; 14] = [
    "image-build/src",
    "crates/compose/src",
    "crates/image/src/arch.rs",
    "crates/image/src/description",
    "crates/image/src/description.rs",
    "crates/image/src/manifest.rs",
    "crates/image/src/stack.rs",
    "crates/oci/src",
    "crates/protocol/src/containers",
    "crates/protocol/src/containers.rs",
    "crates/protocol/src/services.rs",
    "crates/protocol/src/sql.rs",
    "crates/vm/src/volume",
    "crates/vm/src/volume.rs",
];

/// Computes the key of the sources that turn the other inputs into an image.
///
/// # Errors
/// When a source cannot be read.
pub(crate) fn builder(workspace: &Path) -> Result<String, InputError> {
    let key = BUILDER.into_iter().try_fold(Key::default(), |key, path| key.tree(path, &workspace.join(path)));
    Ok(key?.finish())
}

/// An input that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read `{}`", path.display())]
pub struct InputError {
    /// The file or directory.
    pub path: PathBuf,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// A key under construction: a sequence of named values.
#[derive(Debug, Clone, Default)]
pub struct Key(Sha256);

impl Key {
    /// Adds a value. Name and value are length-prefixed, so that no two sequences give one key.
    #[must_use]
    pub fn value(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        for part in [name.as_bytes(), value.as_ref()] {
            self.0.update((part.len() as u64).to_le_bytes());
            self.0.update(part);
        }
        self
    }

    /// Adds the file or the directory tree at `path`: names, contents, links and who may execute. Times, owners
    /// and other mode bits differ between checkouts of the same content and do not count.
    ///
    /// # Errors
    /// When something in it cannot be read.
    pub fn tree(mut self, name: &str, path: &Path) -> Result<Self, InputError> {
        for entry in WalkDir::new(path).sort_by_file_name() {
            let entry = entry.map_err(|error| InputError {
                path: error.path().unwrap_or(path).to_owned(),
                source: error.into(),
            })?;
            let fail = |source| InputError { path: entry.path().to_owned(), source };
            let inside = entry.path().strip_prefix(path).unwrap_or(entry.path());
            self = self.value(name, inside.as_os_str().as_bytes());
            self = match entry.file_type() {
                kind if kind.is_dir() => self.value("directory", ""),
                kind if kind.is_symlink() => {
                    let target = fs::read_link(entry.path()).map_err(fail)?;
                    self.value("link", target.as_os_str().as_bytes())
                }
                _ => {
                    let executable =
                        fs::metadata(entry.path()).map_err(fail)?.permissions().mode() & 0o111 != 0;
                    let digest = digest::of_file(entry.path()).map_err(fail)?.to_string();
                    self.value(if executable { "program" } else { "file" }, digest)
                }
            };
        }
        Ok(self)
    }

    /// The key as 64 lower-case hexadecimal digits.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(dir: &Path) -> String {
        Key::default().tree("tree", dir).unwrap().finish()
    }

    #[test]
    fn a_key_follows_content_names_and_the_executable_bit_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "content").unwrap();
        let first = key(dir.path());

        fs::write(&file, "content").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(key(dir.path()), first, "time and mode do not count");

        fs::set_permissions(&file, fs::Permissions::from_mode(0o700)).unwrap();
        let program = key(dir.path());
        assert_ne!(program, first, "who may execute counts");

        fs::write(&file, "other").unwrap();
        let changed = key(dir.path());
        assert_ne!(changed, program, "content counts");

        fs::rename(&file, dir.path().join("renamed")).unwrap();
        assert_ne!(key(dir.path()), changed, "names count");
    }

    #[test]
    fn a_changed_builder_makes_another_image() {
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let dir = tempfile::tempdir().unwrap();
        let copy = |path: &Path| {
            let to = dir.path().join(path.strip_prefix(&checkout).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(path, to).unwrap();
        };
        let entries = BUILDER.into_iter().flat_map(|path| WalkDir::new(checkout.join(path)));
        entries
            .map(Result::unwrap)
            .filter(|entry| entry.file_type().is_file())
            .for_each(|entry| copy(entry.path()));
        let mut key = builder(&checkout).unwrap();
        assert_eq!(builder(dir.path()).unwrap(), key);

        for path in
            ["image-build/src/esp/stack.conf", "image-build/src/initrd.rs", "crates/image/src/manifest.rs"]
        {
            let file = dir.path().join(path);
            fs::write(&file, fs::read_to_string(&file).unwrap() + "\n").unwrap();
            let changed = builder(dir.path()).unwrap();
            assert_ne!(changed, key, "{path}");
            key = changed;
        }
        fs::write(dir.path().join("crates/vm/src/qemu.rs"), "").unwrap();
        assert_eq!(builder(dir.path()).unwrap(), key, "what is not in an image");
    }

    #[test]
    fn values_do_not_run_into_each_other() {
        let one = Key::default().value("a", "bc").finish();
        let other = Key::default().value("ab", "c").finish();
        assert_ne!(one, other);
    }

    #[test]
    fn a_missing_input_is_named() {
        let error = Key::default().tree("tree", Path::new("/no/such/input")).unwrap_err().to_string();
        assert_eq!(error, "cannot read `/no/such/input`");
    }
}
