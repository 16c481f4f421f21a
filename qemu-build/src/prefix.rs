//! The installed result: `bin/`, `share/qemu/` and `build.json`, which says what it was made from.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::files::{self, FileError};
use base::process::{Cmd, ProcessError};
use serde::Serialize;

use crate::firmware;
use crate::key::Inputs;
use crate::recipe;

/// Link next to the prefixes that names the one in use.
const CURRENT: &str = "current";

/// Beginnings of temporary names: a prefix that is being filled, one that is being replaced, and a link that
/// is about to become [`CURRENT`].
pub(crate) const NEW: &str = ".new-";
const OLD: &str = ".old-";
const NEW_LINK: &str = ".current-";

/// The lock of the process that builds a prefix.
const LOCK: &str = ".lock";

/// What a prefix was made from.
const RECORD: &str = "build.json";

/// What is wrong with a prefix.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// A file is not there.
    #[error("`{}` is missing", .0.display())]
    Missing(PathBuf),
    /// A program does not run.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A program is of another version.
    #[error("`{}` is not version {expected}: it says `{found}`", program.display())]
    Version {
        /// The program.
        program: PathBuf,
        /// The version that was built.
        expected: String,
        /// First line of what `--version` printed.
        found: String,
    },
}

/// What `build.json` holds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a str,
    /// SHA-256 of the tarball that it was built from.
    pub(crate) tarball: Sha256,
    pub(crate) inputs: &'a Inputs,
}

/// Checks that every program runs and is of the right version, and that nothing is missing.
pub(crate) async fn verify(prefix: &Path, version: &str) -> Result<(), PrefixError> {
    let data = prefix.join("share/qemu");
    let files = firmware::names().map(|name| data.join(name)).chain([prefix.join(RECORD)]);
    for path in files.chain(recipe::PROGRAMS.map(|program| prefix.join("bin").join(program))) {
        if !path.is_file() {
            return Err(PrefixError::Missing(path));
        }
    }
    for program in recipe::PROGRAMS.map(|program| prefix.join("bin").join(program)) {
        let text = Cmd::new(&program).arg("--version").text().await?;
        let first = text.lines().next().unwrap_or_default();
        if !first.split_whitespace().any(|word| word == version) {
            let (expected, found) = (version.to_owned(), first.to_owned());
            return Err(PrefixError::Version { program, expected, found });
        }
    }
    Ok(())
}

/// Fills the empty directory `prefix` from a finished build.
pub(crate) fn fill(
    prefix: &Path,
    build: &Path,
    images: &[(&str, PathBuf)],
    record: &Record<'_>,
) -> Result<(), FileError> {
    let (programs, data) = (prefix.join("bin"), prefix.join("share/qemu"));
    for dir in [&programs, &data] {
        fs::create_dir_all(dir).map_err(FileError::of("create", dir))?;
    }
    for program in recipe::PROGRAMS {
        copy(&build.join(program), &programs.join(program))?;
    }
    for (name, path) in images {
        copy(path, &data.join(name))?;
    }
    let json = serde_json::to_vec_pretty(record).expect("text and numbers always serialise");
    files::write_atomic(&prefix.join(RECORD), &json, files::PUBLIC_FILE)
}

fn copy(from: &Path, to: &Path) -> Result<(), FileError> {
    fs::copy(from, to).map_err(FileError::of("copy", from))?;
    File::open(to).and_then(|file| file.sync_all()).map_err(FileError::of("write", to))
}

/// Returns the path of the lock of the process that changes the prefixes in `root`.
pub(crate) fn lock(root: &Path) -> PathBuf {
    root.join(LOCK)
}

/// Removes leftovers of killed builds from `root`, and restores the name of a prefix that was just being
/// replaced. The caller holds the [`lock`].
pub(crate) fn recover(root: &Path) -> Result<(), FileError> {
    for path in list(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(NEW_LINK) {
            fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
        }
        if name.starts_with(OLD) {
            for old in list(&path)? {
                let place = root.join(old.file_name().unwrap_or_default());
                if !place.exists() {
                    fs::rename(&old, &place).map_err(FileError::of("rename", &old))?;
                }
            }
        }
        if name.starts_with(NEW) || name.starts_with(OLD) {
            fs::remove_dir_all(&path).map_err(FileError::of("remove", &path))?;
        }
    }
    Ok(())
}

fn list(dir: &Path) -> Result<Vec<PathBuf>, FileError> {
    let list = || fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    list().map_err(FileError::of("list", dir))
}

/// Replaces `prefix` by the filled directory `new`. The old content is removed; a virtual machine that runs
/// from it keeps its files until it ends.
pub(crate) fn replace(new: &Path, prefix: &Path) -> Result<(), FileError> {
    let root = prefix.parent().unwrap_or(Path::new("."));
    let old = tempfile::Builder::new().prefix(OLD).tempdir_in(root).map_err(FileError::of("create", root))?;
    if prefix.exists() {
        let name = prefix.file_name().unwrap_or_default();
        fs::rename(prefix, old.path().join(name)).map_err(FileError::of("rename", prefix))?;
    }
    fs::rename(new, prefix).map_err(FileError::of("rename", new))?;
    File::open(root).and_then(|dir| dir.sync_all()).map_err(FileError::of("write", root))
}

/// Lets `current` name the prefix, atomically.
pub(crate) fn make_current(prefix: &Path) -> Result<(), FileError> {
    let root = prefix.parent().unwrap_or(Path::new("."));
    let name = prefix.file_name().unwrap_or_default();
    let current = root.join(CURRENT);
    if fs::read_link(&current).is_ok_and(|target| target == Path::new(name)) {
        return Ok(());
    }
    let link = tempfile::Builder::new().prefix(NEW_LINK).make_in(root, |path| symlink(name, path));
    let link = link.map_err(FileError::of("create a link in", root))?.into_temp_path();
    link.persist(&current).map_err(|error| FileError::of("replace", &current)(error.error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use base::digest;

    use super::*;

    /// A prefix whose programs are scripts that say they are `version`.
    fn prefix(root: &Path, version: &str) -> PathBuf {
        let prefix = root.join(format!("made-{version}"));
        let build = root.join("build");
        fs::create_dir_all(&build).unwrap();
        for program in recipe::PROGRAMS {
            let path = build.join(program);
            fs::write(&path, format!("#!/bin/sh\necho '{program} version {version} (x)'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let image = root.join("image");
        fs::write(&image, "rom").unwrap();
        let images: Vec<_> = firmware::names().map(|name| (name, image.clone())).collect();
        let key = crate::key::tests::inputs();
        let record = Record { key: "k", tarball: digest::of_bytes(b"tarball"), inputs: &key };
        fill(&prefix, &build, &images, &record).unwrap();
        prefix
    }

    #[tokio::test]
    async fn a_filled_prefix_works_until_something_is_missing_or_of_another_version() {
        let dir = tempfile::tempdir().unwrap();
        let prefix = prefix(dir.path(), "1.2.3");
        verify(&prefix, "1.2.3").await.unwrap();
        let error = verify(&prefix, "1.2.30").await.unwrap_err();
        assert!(error.to_string().contains("is not version 1.2.30: it says `qemu-"), "{error}");
        fs::write(prefix.join("bin/qemu-img"), "not a program").unwrap();
        assert!(matches!(verify(&prefix, "1.2.3").await, Err(PrefixError::Process(_))));
        fs::remove_file(prefix.join("share/qemu/pvh.bin")).unwrap();
        let error = verify(&prefix, "1.2.3").await.unwrap_err();
        assert!(error.to_string().ends_with("share/qemu/pvh.bin` is missing"), "{error}");
    }

    #[test]
    fn a_prefix_is_replaced_as_a_whole() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("q");
        for content in ["one", "two"] {
            let new = dir.path().join("new");
            fs::create_dir(&new).unwrap();
            fs::write(new.join("file"), content).unwrap();
            replace(&new, &place).unwrap();
            assert_eq!(fs::read_to_string(place.join("file")).unwrap(), content);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn leftovers_of_a_killed_build_are_removed_and_its_prefix_restored() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        // Killed after the first of the two renames, another time before the end of the removal that follows them.
        for left in [".new-a/key1", ".old-b/key1/bin", ".old-c/key2/share", "key2/bin"] {
            fs::create_dir_all(root.join(left)).unwrap();
        }
        symlink("key1", root.join(".current-d")).unwrap();
        symlink("key1", root.join(CURRENT)).unwrap();
        fs::write(lock(root), "").unwrap();
        recover(root).unwrap();
        let mut left: Vec<_> = list(root).unwrap();
        left.sort();
        assert_eq!(left, [LOCK, CURRENT, "key1", "key2"].map(|name| root.join(name)));
        assert!(root.join(CURRENT).join("bin").exists());
        assert!(root.join("key2/bin").exists());
    }

    #[test]
    fn current_moves_from_one_prefix_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b", "b"] {
            make_current(&dir.path().join(name)).unwrap();
            assert_eq!(fs::read_link(dir.path().join(CURRENT)).unwrap(), Path::new(name));
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
