//! How long texts may be. The database would take far more, until an index cannot hold them or pages cannot be shown.

use super::StoreError;

/// Longest e-mail address: the path of RFC 5321, section 4.5.3.1.3, without its angle brackets.
pub(crate) const MAX_EMAIL_BYTES: usize = 254;
/// Longest name of a user.
pub(crate) const MAX_NAME_BYTES: usize = 1024;
/// Longest text to search for: no name is longer.
pub(crate) const MAX_SEARCH_BYTES: usize = MAX_NAME_BYTES;
/// Longest path of a configuration file. It is the key of a unique index, whose rows have at most 2,704 bytes in PostgreSQL; Linux
/// itself would take 4,095.
pub(crate) const MAX_PATH_BYTES: usize = 2048;

/// Refuses a text that is longer than `max_bytes`.
pub(crate) fn at_most(text: &str, field: &'static str, max_bytes: usize) -> Result<(), StoreError> {
    if text.len() <= max_bytes { Ok(()) } else { Err(StoreError::TextTooLong { field, max_bytes }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_one_byte_too_long_is_refused_with_its_name() {
        at_most("four", "name", 4).unwrap();
        let error = at_most("fünf", "name", 4).unwrap_err();
        assert_eq!(error.to_string(), "`name` has more than 4 bytes");
    }
}
