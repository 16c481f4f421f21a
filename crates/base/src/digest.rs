//! SHA-256 of files and values, as lower-case hexadecimal.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::sparse;

/// Hexadecimal digits of a digest.
pub const LENGTH: usize = 64;

/// Whether `text` is a digest as it is written here.
pub fn is_one(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// SHA-256 of `bytes`.
pub fn of_bytes(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// SHA-256 of the file at `path`, read once in blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn of_file(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = Sha256::new();
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&block[..read]);
    }
}

/// SHA-256 of what a large file with many zeroes holds: its length, and of each page that is not all zeroes the offset and the
/// content. It is the same for a copy whose holes have been filled.
///
/// # Errors
/// When the file cannot be read.
pub fn of_pages(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut hasher = Sha256::new();
    hasher.update(file.metadata()?.len().to_le_bytes());
    sparse::nonzero_pages(&file, |offset, page| {
        hasher.update(offset.to_le_bytes());
        hasher.update(page);
    })?;
    Ok(hex::encode(hasher.finalize()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn a_copy_without_holes_has_the_digest_of_the_original() {
        let dir = tempfile::tempdir().unwrap();
        let (sparse, full) = (dir.path().join("sparse"), dir.path().join("full"));
        let file = File::create(&sparse).unwrap();
        file.set_len((3 << 20) + 5).unwrap();
        file.write_all_at(b"in the middle", (1 << 20) + 4090).unwrap();
        file.write_all_at(b"end", (3 << 20) + 2).unwrap();
        std::fs::write(&full, std::fs::read(&sparse).unwrap()).unwrap();
        let digest = of_pages(&sparse).unwrap();
        assert_eq!(of_pages(&full).unwrap(), digest);
        file.write_all_at(b"M", (1 << 20) + 4090).unwrap();
        assert_ne!(of_pages(&sparse).unwrap(), digest);
        file.set_len(3 << 20).unwrap();
        assert_ne!(of_pages(&sparse).unwrap(), digest);
    }

    #[test]
    fn a_file_and_its_bytes_have_one_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"abc").unwrap();
        assert_eq!(of_file(&path).unwrap(), of_bytes(b"abc"));
        assert_eq!(of_bytes(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
