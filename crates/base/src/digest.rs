//! SHA-256 of files and values.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest;

use crate::sparse;

/// Bytes of a SHA-256.
const BYTES: usize = 32;

/// A SHA-256. As text and in JSON it is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; BYTES]);

/// The text is not 64 lower-case hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid SHA-256 {0:?}: it must be 64 lower-case hexadecimal digits")]
pub struct InvalidSha256(String);

impl Sha256 {
    /// The first `count` hexadecimal digits, for names of files and for people.
    pub fn first_digits(self, count: usize) -> String {
        let mut digits = self.to_string();
        digits.truncate(count);
        digits
    }
}

impl From<[u8; BYTES]> for Sha256 {
    fn from(bytes: [u8; BYTES]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Sha256 {
    type Err = InvalidSha256;

    fn from_str(text: &str) -> Result<Self, InvalidSha256> {
        let mut bytes = [0; BYTES];
        let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
        match hex::decode_to_slice(text, &mut bytes) {
            Ok(()) if is_lower => Ok(Self(bytes)),
            _ => Err(InvalidSha256(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Sha256 {
    type Error = InvalidSha256;

    fn try_from(text: String) -> Result<Self, InvalidSha256> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

/// A SHA-256 in the making.
#[derive(Debug, Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    /// Adds `bytes` to what is hashed.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Returns the digest of everything that was added.
    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

/// Returns the SHA-256 of `bytes`.
pub fn of_bytes(bytes: &[u8]) -> Sha256 {
    Sha256(sha2::Sha256::digest(bytes).into())
}

/// Reads the file at `path` once, in blocks, and returns its SHA-256.
///
/// # Errors
/// When the file cannot be read.
pub fn of_file(path: &Path) -> io::Result<Sha256> {
    let mut file = File::open(path)?;
    let mut hasher = Hasher::default();
    let mut block = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(hasher.finish());
        }
        hasher.update(&block[..read]);
    }
}

/// Returns a SHA-256 of what a large file with many zeroes holds: its length, and the offset and content of each page that is not
/// all zeroes. A copy whose holes have been filled has the same one.
///
/// # Errors
/// When the file cannot be read.
pub fn of_pages(path: &Path) -> io::Result<Sha256> {
    let file = File::open(path)?;
    let mut hasher = Hasher::default();
    hasher.update(&file.metadata()?.len().to_le_bytes());
    sparse::nonzero_pages(&file, |offset, page| {
        hasher.update(&offset.to_le_bytes());
        hasher.update(page);
    })?;
    Ok(hasher.finish())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// The example of FIPS 180-4 and RFC 6234.
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

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
        assert_eq!(of_bytes(b"abc").to_string(), ABC);
    }

    #[test]
    fn text_and_json_are_64_lower_case_digits() {
        let digest = of_bytes(b"abc");
        assert_eq!(ABC.parse(), Ok(digest));
        assert_eq!((digest.first_digits(4), format!("{digest:?}")), ("ba78".to_owned(), ABC.to_owned()));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(json, format!("\"{ABC}\""));
        assert_eq!(serde_json::from_str::<Sha256>(&json).unwrap(), digest);
    }

    #[test]
    fn other_texts_are_refused_and_shown_harmlessly() {
        for text in
            ["", "ab", "../../x", &ABC[1..], &format!("{ABC}00"), &ABC.to_uppercase(), &"é".repeat(32)]
        {
            assert_eq!(text.parse::<Sha256>(), Err(InvalidSha256(text.to_owned())));
        }
        let error = serde_json::from_str::<Sha256>(r#""\u001b[2J""#).unwrap_err().to_string();
        let expected = r#"invalid SHA-256 "\u{1b}[2J": it must be 64 lower-case hexadecimal digits"#;
        assert!(error.starts_with(expected), "{error}");
    }
}
