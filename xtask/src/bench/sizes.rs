//! What everything takes on the disk: allocated bytes, since most of these files are sparse.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use base::files::FileError;
use image::arch::Arch;
use instances::instance::dir::InstanceDir;
use instances::snapshot::SnapshotDir;
use vm::home::Home;
use vm::saving::Strategy;

/// Allocated bytes by name.
pub(crate) type Sizes = BTreeMap<String, u64>;

/// The image.
///
/// # Errors
/// When it cannot be looked at.
pub(super) fn image(sizes: &mut Sizes, home: &Home, arch: Arch) -> Result<(), FileError> {
    sizes.insert("image".to_owned(), of(&home.image(arch))?);
    Ok(())
}

/// A whole snapshot, and what its memory has of that.
///
/// # Errors
/// When it cannot be looked at.
pub(super) fn snapshot(
    sizes: &mut Sizes,
    dir: &SnapshotDir,
    strategy: Strategy,
    arch: Arch,
) -> Result<(), FileError> {
    let (name, parts) = match strategy {
        Strategy::Template => ("snapshot_template", vec![("memory", dir.memory())]),
        Strategy::MappedRam => {
            let parts = [("savevm_zst", dir.savevm_zst(arch)), ("savevm_raw", dir.savevm_raw(arch))];
            ("snapshot_mapped_ram", parts.into())
        }
    };
    sizes.insert(name.to_owned(), of(dir.root())?);
    for (part, path) in parts {
        sizes.insert(format!("{name}_{part}"), of(&path)?);
    }
    Ok(())
}

/// A suspended session: memory, devices and disk.
///
/// # Errors
/// When a file cannot be looked at.
pub(super) fn suspended(sizes: &mut Sizes, dir: &InstanceDir) -> Result<(), FileError> {
    let files = [dir.memory(), dir.devices(), dir.overlay()];
    let all = files.iter().map(|file| of(file)).sum::<Result<u64, _>>()?;
    sizes.insert("suspended_session".to_owned(), all);
    Ok(())
}

/// Allocated bytes of a file, or of all files below a directory.
fn of(path: &Path) -> Result<u64, FileError> {
    allocated(path).map_err(FileError::of("look at", path))
}

fn allocated(path: &Path) -> io::Result<u64> {
    if !path.is_dir() {
        return base::sparse::allocated(&File::open(path)?);
    }
    fs::read_dir(path)?.map(|entry| allocated(&entry?.path())).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_take_no_room_and_a_directory_is_the_sum_of_its_files() {
        let dir = tempfile::tempdir().unwrap();
        File::create(dir.path().join("sparse")).unwrap().set_len(1 << 30).unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        fs::write(dir.path().join("logs/one"), [1; 8192]).unwrap();
        fs::write(dir.path().join("two"), [1; 4096]).unwrap();
        assert_eq!(of(dir.path()).unwrap(), 12288);
        assert!(of(Path::new("/no/such/file")).unwrap_err().to_string().contains("/no/such/file"));
    }
}
