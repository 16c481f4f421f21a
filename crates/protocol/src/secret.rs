//! A string that must not be seen by accident.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;

/// A key, token or password. `Debug` hides it, and there is no `Display`: code that shows it must call [`Secret::reveal`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Hides `value`.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the few places that hand it to its owner or to the database.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Compares in time that does not depend on where the strings differ. Their lengths are not secret.
    pub fn matches(&self, presented: &str) -> bool {
        self.0.as_bytes().ct_eq(presented.as_bytes()).into()
    }

    /// Enough of a key to recognise it by, and far too little to use it: `c01d…9e4f`.
    pub fn masked(&self) -> String {
        const SHOWN: usize = 4;
        match (self.0.get(..SHOWN), self.0.get(self.0.len().saturating_sub(SHOWN)..)) {
            (Some(start), Some(end)) if self.0.len() >= 8 * SHOWN => format!("{start}…{end}"),
            _ => "…".to_owned(),
        }
    }
}

/// As [`Secret::matches`].
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.matches(&other.0)
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_string_matches() {
        let secret = Secret::new("open sesame");
        assert!(secret.matches("open sesame"));
        for other in ["", "open sesamE", "open sesam", "open sesame ", "Open sesame"] {
            assert!(!secret.matches(other), "`{other}` must not match");
        }
    }

    #[test]
    fn a_secret_is_neither_debugged_nor_masked_into_view() {
        let key = Secret::new("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
        assert_eq!(format!("{key:?}"), "Secret(…)");
        assert_eq!(key.masked(), "0123…cdef");
        assert_eq!(Secret::new("short").masked(), "…");
    }
}
