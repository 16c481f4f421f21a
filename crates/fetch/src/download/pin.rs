//! The digest that a file is pinned to.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use base::digest::{self, Sha256};
use sha2::{Digest, Sha512};

use super::error::VerifyError;

/// The digest that a file is pinned to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256.
    Sha256(Sha256),
    /// SHA-512, in lower-case hexadecimal.
    Sha512(String),
}

impl Pin {
    /// Verifies that the file at `path` has this digest.
    ///
    /// # Errors
    /// When the file cannot be read, or its digest is another one.
    pub fn check(&self, path: &Path) -> Result<(), VerifyError> {
        let found = self.hash(path).map_err(|source| VerifyError::Read { path: path.to_owned(), source })?;
        match found.mismatch(self) {
            Some(found) => {
                Err(VerifyError::Digest { path: path.to_owned(), expected: self.to_string(), found })
            }
            None => Ok(()),
        }
    }

    fn hash(&self, path: &Path) -> io::Result<Hashed> {
        let mut hasher = Hasher::new(Some(self));
        for_each_block(&mut File::open(path)?, |block| hasher.update(block))?;
        Ok(hasher.finish())
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(digest) => digest.fmt(f),
            Self::Sha512(hex) => f.write_str(hex),
        }
    }
}

/// Hashes a file as it comes: always with SHA-256, which files are known by, and also with what it is pinned to.
pub(super) struct Hasher {
    sha256: digest::Hasher,
    sha512: Option<Sha512>,
}

/// What a [`Hasher`] has found.
pub(super) struct Hashed {
    pub(super) sha256: Sha256,
    sha512: Option<String>,
}

impl Hasher {
    /// Makes a hasher whose result shows whether the file is the pinned one.
    pub(super) fn new(pin: Option<&Pin>) -> Self {
        let sha512 = matches!(pin, Some(Pin::Sha512(_))).then(Sha512::new);
        Self { sha256: digest::Hasher::default(), sha512 }
    }

    pub(super) fn update(&mut self, block: &[u8]) {
        self.sha256.update(block);
        if let Some(sha512) = &mut self.sha512 {
            sha512.update(block);
        }
    }

    pub(super) fn finish(self) -> Hashed {
        let sha512 = self.sha512.map(|hasher| hex::encode(hasher.finalize()));
        Hashed { sha256: self.sha256.finish(), sha512 }
    }
}

impl Hashed {
    /// The digest that was found, if it is not the pinned one.
    pub(super) fn mismatch(&self, pin: &Pin) -> Option<String> {
        match pin {
            Pin::Sha256(expected) => (self.sha256 != *expected).then(|| self.sha256.to_string()),
            Pin::Sha512(expected) => {
                let found = self.sha512.as_deref().unwrap_or_default();
                (found != expected).then(|| found.to_owned())
            }
        }
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
        Pin::Sha256(digest::of_bytes(b"abc")).check(&path).unwrap();
        let wrong = [Pin::Sha256(digest::of_bytes(b"abd")), Pin::Sha512("dd".to_owned())];
        for (pin, found) in wrong.into_iter().zip([digest::of_bytes(b"abc").to_string().as_str(), sha512]) {
            let error = pin.check(&path).unwrap_err().to_string();
            assert!(
                error.ends_with(&format!("has the wrong digest: expected {pin}, found {found}")),
                "{error}"
            );
        }
    }
}
