//! The digest that a file is pinned to.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};

use super::error::VerifyError;

/// The digest that a file is pinned to, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256.
    Sha256(String),
    /// SHA-512.
    Sha512(String),
}

impl Pin {
    /// A SHA-256, in hexadecimal.
    pub fn sha256(hex: impl Into<String>) -> Self {
        Self::Sha256(hex.into())
    }

    /// The pinned digest.
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }

    /// Whether the file at `path` has this digest.
    ///
    /// # Errors
    /// When the file cannot be read, or its digest is another one.
    pub fn check(&self, path: &Path) -> Result<(), VerifyError> {
        let mut hasher = hasher(Some(self));
        let read =
            File::open(path).and_then(|mut file| for_each_block(&mut file, |block| hasher.update(block)));
        read.map_err(|source| VerifyError::Read { path: path.to_owned(), source })?;
        let found = hex::encode(hasher.finalize());
        if found == self.hex() {
            return Ok(());
        }
        Err(VerifyError::Digest { path: path.to_owned(), expected: self.hex().to_owned(), found })
    }
}

/// A hasher: a thing of its own, to be fed in another thread.
pub(super) type Hasher = Box<dyn DynDigest + Send>;

/// A hasher for what is pinned, SHA-256 for what is not.
pub(super) fn hasher(pin: Option<&Pin>) -> Hasher {
    match pin {
        Some(Pin::Sha512(_)) => Box::new(Sha512::default()),
        Some(Pin::Sha256(_)) | None => Box::new(Sha256::default()),
    }
}

/// Reads what is left of `file`.
pub(super) fn for_each_block(file: &mut File, mut take: impl FnMut(&[u8])) -> io::Result<()> {
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(());
        }
        take(&block[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_checked_against_either_kind_of_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, b"abc").unwrap();
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        Pin::Sha512(sha512.to_owned()).check(&path).unwrap();
        Pin::sha256(base::digest::of_bytes(b"abc")).check(&path).unwrap();
        let error = Pin::sha256(base::digest::of_bytes(b"abd")).check(&path).unwrap_err();
        assert!(error.to_string().contains("has the wrong digest: expected"), "{error}");
    }
}
