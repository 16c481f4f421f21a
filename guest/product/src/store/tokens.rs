//! Tokens and keys out of the kernel's random generator.

use protocol::Secret;
use sha2::{Digest as _, Sha256};

use super::StoreError;

/// 256 bits: a token cannot be guessed, and two are never equal.
const BYTES: usize = 32;

/// Creates a token: 64 hex digits. The kernel is asked every time and nothing is kept in this process, so that two virtual
/// machines resumed from one snapshot do not hand out the same tokens.
pub(crate) fn generate() -> Result<Secret, StoreError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(StoreError::Random)?;
    Ok(Secret::new(hex::encode(bytes)))
}

/// Computes what is stored of a token in the database. A token has all its 256 bits of randomness, so one round of SHA-256 is as good as a
/// slow hash; and looking it up by its hash leaves nothing to time.
pub(crate) fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}

/// Whether this is what [`generate`] creates: 64 lower-case hex digits.
pub(crate) fn is_well_formed(token: &str) -> bool {
    token.len() == 2 * BYTES && token.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_64_hex_digits_and_never_the_same() {
        let (one, two) = (generate().unwrap(), generate().unwrap());
        assert!(is_well_formed(one.reveal()));
        assert!(!one.matches(two.reveal()));
    }

    #[test]
    fn only_64_lower_case_hex_digits_are_well_formed() {
        assert!(is_well_formed(&"0f".repeat(32)));
        for token in ["", &"0F".repeat(32), &"0f".repeat(31), &"0g".repeat(32)] {
            assert!(!is_well_formed(token), "`{token}`");
        }
    }

    #[test]
    fn a_hash_depends_on_every_character_and_is_sha256() {
        // The empty string's digest, as FIPS 180-4's examples and every implementation give it.
        assert_eq!(hex::encode(hash("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(hash("token"), hash("tokem"));
    }
}
