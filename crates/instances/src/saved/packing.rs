//! The pair of files of a `mapped-ram` state: compressed for keeping, and as QEMU reads it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use base::files::{FileError, PRIVATE_FILE, read_document, write_json};
use base::sparse;

use vm::stamp::Stamp;

/// Compression level: a higher one takes several times as long for a tenth less.
const LEVEL: i32 = 1;

/// Compresses what QEMU has written to `raw`, and records that it is what `packed` unpacks to.
pub(super) fn pack(raw: &Path, packed: &Path) -> Result<(), FileError> {
    let pack = || -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(File::create_new(packed)?, LEVEL)?;
        encoder.include_checksum(true)?;
        io::copy(&mut File::open(raw)?, &mut encoder)?;
        encoder.finish()?.sync_all()
    };
    pack().map_err(FileError::of("write", packed))?;
    note(raw)
}

/// Makes sure that the uncompressed file is there.
///
/// # Errors
/// When the compressed one cannot be read or is damaged, or the other cannot be written.
pub(super) fn ensure_unpacked(raw: &Path, packed: &Path) -> Result<(), FileError> {
    if is_noted(raw) {
        return Ok(());
    }
    let unpack = || -> io::Result<()> {
        let dir = raw.parent().unwrap_or(Path::new(""));
        let partial = tempfile::Builder::new().prefix(".savevm-").tempfile_in(dir)?;
        let mut writer = sparse::Writer::new(partial.as_file());
        zstd::stream::copy_decode(File::open(packed)?, &mut writer)?;
        writer.finish()?;
        partial.persist(raw).map(drop).map_err(|error| error.error)
    };
    unpack().map_err(FileError::of("unpack", packed))?;
    note(raw)
}

/// The note beside the uncompressed file.
fn note_of(raw: &Path) -> PathBuf {
    raw.with_extension("raw.json")
}

fn note(raw: &Path) -> Result<(), FileError> {
    let stamp = Stamp::of(raw).map_err(FileError::of("look at", raw))?;
    write_json(&note_of(raw), &stamp, PRIVATE_FILE)
}

fn is_noted(raw: &Path) -> bool {
    let noted =
        read_document(&note_of(raw)).ok().and_then(|text| serde_json::from_slice::<Stamp>(&text).ok());
    noted.is_some_and(|noted| Stamp::of(raw).is_ok_and(|found| found == noted))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_missing_or_changed_uncompressed_file_is_created_again() {
        let dir = tempfile::tempdir().unwrap();
        let (raw, packed) = (dir.path().join("state.savevm.raw"), dir.path().join("state.savevm.zst"));
        let file = File::create(&raw).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_all_at(b"state", 5 << 20).unwrap();
        let content = fs::read(&raw).unwrap();
        pack(&raw, &packed).unwrap();
        assert!(fs::metadata(&packed).unwrap().len() < 64 << 10);

        for damage in
            [|raw: &Path| fs::remove_file(raw).unwrap(), |raw: &Path| fs::write(raw, "short").unwrap()]
        {
            damage(&raw);
            ensure_unpacked(&raw, &packed).unwrap();
            assert!(fs::read(&raw).unwrap() == content);
        }
        assert!(sparse::allocated(&File::open(&raw).unwrap()).unwrap() < 1 << 20);
    }

    #[test]
    fn a_damaged_compressed_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let (raw, packed) = (dir.path().join("state.savevm.raw"), dir.path().join("state.savevm.zst"));
        fs::write(&packed, "no zstd").unwrap();
        let error = ensure_unpacked(&raw, &packed).unwrap_err();
        assert!(error.to_string().contains("savevm.zst"), "{error}");
        assert!(!raw.exists());
    }
}
