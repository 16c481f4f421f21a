//! The source tree: unpacked, patched, with our device lists, and completed where a tarball is reduced.

use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use base::events::{Phase, Unit};
use base::files::FileError;
use base::process::{Cmd, ProcessError};
use diffy::patch_set::{FileOperation, ParseOptions, PatchKind, PatchSet};
use liblzma::read::XzDecoder;

use crate::error::BuildError;
use crate::recipe::{self, Input};

/// Unpacks `tarball`, which contains one directory, and applies our changes. `source` appears only when it is complete;
/// leftovers of an earlier attempt in `scratch` are removed.
pub(crate) async fn prepare(
    tarball: &Path,
    scratch: &Path,
    source: &Path,
    phase: &Phase<'_>,
) -> Result<(), BuildError> {
    if scratch.exists() {
        fs::remove_dir_all(scratch).map_err(FileError::of("remove", scratch))?;
    }
    fs::create_dir_all(scratch).map_err(FileError::of("create", scratch))?;
    let unpacked = unpack(tarball, scratch, phase).await.map_err(|source| BuildError::Unpack {
        tarball: tarball.to_owned(),
        into: scratch.to_owned(),
        source,
    })?;
    for patch in &recipe::PATCHES {
        apply(&unpacked, patch)?;
    }
    for (target, list) in recipe::DEVICES {
        let path = unpacked.join("configs/devices").join(target).join(format!("{}.mak", recipe::DEVICE_LIST));
        fs::write(&path, list).map_err(FileError::of("write", &path))?;
    }
    fs::rename(&unpacked, source).map_err(FileError::of("rename", &unpacked))?;
    fs::remove_dir_all(scratch).map_err(FileError::of("remove", scratch))?;
    Ok(())
}

/// Unpacks the tarball and returns its only directory. Yields between entries, so that an interrupt is noticed.
async fn unpack(tarball: &Path, into: &Path, phase: &Phase<'_>) -> io::Result<PathBuf> {
    let file = File::open(tarball)?;
    let total = file.metadata()?.len();
    let read = Rc::new(std::cell::Cell::new(0));
    let counted = Counted { inner: file, read: Rc::clone(&read) };
    let mut archive = tar::Archive::new(XzDecoder::new(BufReader::with_capacity(1 << 18, counted)));
    archive.set_preserve_mtime(true);
    for entry in archive.entries()? {
        entry?.unpack_in(into)?;
        phase.progress(read.get(), Some(total), Unit::Bytes);
        tokio::task::yield_now().await;
    }
    match &fs::read_dir(into)?.collect::<io::Result<Vec<_>>>()?[..] {
        [only] if only.path().is_dir() => Ok(only.path()),
        _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it does not hold exactly one directory")),
    }
}

/// Counts the bytes that were read.
struct Counted {
    inner: File,
    read: Rc<std::cell::Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.set(self.read.get() + read as u64);
        Ok(read)
    }
}

/// Applies a patch to the tree at `source`. Patches change files; they neither add nor remove any.
fn apply(source: &Path, &(name, text): &Input) -> Result<(), BuildError> {
    let refuse = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| BuildError::Patch {
        patch: name.to_owned(),
        path: path.to_owned(),
        source,
    };
    for file in PatchSet::parse(text, ParseOptions::unidiff()) {
        let file = file.map_err(|error| refuse(source, error.to_string().into()))?;
        let (FileOperation::Modify { modified, .. }, PatchKind::Text(change)) =
            (file.operation().strip_prefix(1), file.patch())
        else {
            return Err(refuse(source, "it does more than change text files".into()));
        };
        let path = source.join(modified.as_ref());
        let old = fs::read_to_string(&path).map_err(FileError::of("read", &path))?;
        let new = diffy::apply(&old, change).map_err(|error| refuse(&path, error.to_string().into()))?;
        fs::write(&path, new).map_err(FileError::of("write", &path))?;
    }
    Ok(())
}

/// Fetches the Python packages that configure needs into the tree, where the full tarball has them. pip takes them from the
/// index that this host is set up for and checks their digests.
pub(crate) async fn complete_wheels(source: &Path, scratch: &Path, log: &Path) -> Result<(), ProcessError> {
    let wheels = source.join("python/wheels");
    if has_wheel(&wheels, "meson-") {
        return Ok(());
    }
    let venv = scratch.join("venv");
    let requirements = scratch.join(recipe::WHEELS.0);
    Cmd::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).logged(log, |_| {}).await?;
    let io = |source| ProcessError::Io { argv: "pip download".to_owned(), source };
    fs::write(&requirements, recipe::WHEELS.1).map_err(io)?;
    Cmd::new(venv.join("bin/python"))
        .args(["-m", "pip", "download", "--no-input", "--no-deps", "--only-binary=:all:", "--require-hashes"])
        .arg("--requirement")
        .arg(&requirements)
        .arg("--dest")
        .arg(&wheels)
        .logged(log, |_| {})
        .await
}

fn has_wheel(dir: &Path, prefix: &str) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name()).any(|name| name.to_string_lossy().starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATCH: Input =
        ("0001-test.patch", "Why.\n\n--- a/dir/file\n+++ b/dir/file\n@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n");

    #[test]
    fn a_patch_changes_the_file_that_it_names() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        fs::write(dir.path().join("dir/file"), "a\nb\nc\n").unwrap();
        apply(dir.path(), &PATCH).unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("dir/file")).unwrap(), "a\nB\nc\n");
    }

    #[test]
    fn a_patch_that_does_not_fit_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("dir")).unwrap();
        fs::write(dir.path().join("dir/file"), "x\ny\nz\n").unwrap();
        let error = apply(dir.path(), &PATCH).unwrap_err().to_string();
        assert!(error.starts_with("the patch `0001-test.patch` does not apply to `"), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("dir/file")).unwrap(), "x\ny\nz\n");
    }

    #[test]
    fn every_pinned_patch_says_why_and_changes_text_files_only() {
        for (name, text) in recipe::PATCHES {
            assert!(!text.starts_with("---"), "{name} has no reason");
            let files: Vec<_> = PatchSet::parse(text, ParseOptions::unidiff()).collect();
            assert!(!files.is_empty(), "{name}");
            for file in files {
                assert!(matches!(file.unwrap().operation(), FileOperation::Modify { .. }), "{name}");
            }
        }
    }

    /// A tarball with the given files.
    fn tarball(path: &Path, files: &[&str]) {
        let mut archive = tar::Builder::new(liblzma::write::XzEncoder::new(File::create(path).unwrap(), 1));
        for file in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(3);
            header.set_mode(0o644);
            archive.append_data(&mut header, file, &b"abc"[..]).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
    }

    #[tokio::test]
    async fn a_tarball_with_one_directory_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        let (path, into) = (dir.path().join("q.tar.xz"), dir.path().join("into"));
        fs::create_dir(&into).unwrap();
        tarball(&path, &["q-1.0/a", "q-1.0/sub/b"]);
        let phase = Phase::start(&base::events::Silent, "unpack", "Unpack");
        let unpacked = unpack(&path, &into, &phase).await.unwrap();
        phase.done();
        assert_eq!(unpacked, into.join("q-1.0"));
        assert_eq!(fs::read(unpacked.join("sub/b")).unwrap(), b"abc");
    }

    #[tokio::test]
    async fn a_truncated_tarball_and_a_heap_of_files_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("q.tar.xz");
        let phase = Phase::start(&base::events::Silent, "unpack", "Unpack");
        tarball(&path, &["a/x", "b/y"]);
        let into = tempfile::tempdir_in(dir.path()).unwrap();
        assert!(unpack(&path, into.path(), &phase).await.is_err());
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let into = tempfile::tempdir_in(dir.path()).unwrap();
        assert!(unpack(&path, into.path(), &phase).await.is_err());
        phase.done();
    }
}
