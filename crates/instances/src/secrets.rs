//! The values of a stack's secrets.

use std::collections::BTreeMap;
use std::io;

use image::stack::{self, SecretFormat};
use protocol::Secret;

/// The values of a stack's secrets, by their names in the manifest.
pub type Secrets = BTreeMap<String, Secret>;

/// Bytes of a secret: 64 hexadecimal digits.
const SECRET_BYTES: usize = 32;

/// Creates a random value for each secret.
///
/// # Errors
/// When the operating system gives no random bytes.
pub(crate) fn fresh(secrets: &[stack::Secret]) -> io::Result<Secrets> {
    secrets.iter().map(|secret| Ok((secret.name.clone(), value(secret.format)?))).collect()
}

fn value(format: SecretFormat) -> io::Result<Secret> {
    match format {
        SecretFormat::Hex64 => random::<SECRET_BYTES>(),
    }
}

/// Creates `BYTES` random bytes in hexadecimal digits, from the operating system's generator.
pub(crate) fn random<const BYTES: usize>() -> io::Result<Secret> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(Secret::new(hex::encode(bytes)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The secrets of this project's own stack.
    pub(crate) fn described() -> Vec<stack::Secret> {
        fake_image::stack().secrets
    }

    #[test]
    fn every_secret_gets_a_value_of_its_own_in_its_format() {
        let (first, second) = (fresh(&described()).unwrap(), fresh(&described()).unwrap());
        assert_eq!(first.len(), 4);
        for secret in described() {
            let value = first[&secret.name].reveal();
            assert!(secret.format.accepts(value), "{}", secret.name);
            assert_ne!(value, second[&secret.name].reveal());
            assert_ne!(value, secret.placeholder);
        }
    }
}
