//! PAX records, `LENGTH KEY=VALUE\n` (POSIX.1-2017, pax). A value is any bytes.

/// Prefix of the keys of extended attributes.
pub(crate) const XATTR: &[u8] = b"SCHILY.xattr.";

/// Splits the records in `bytes`; none if they are not well-formed.
pub(crate) fn records(mut bytes: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|byte| *byte == b'=')?;
        records.push((record[..equals].to_vec(), record[equals + 1..].to_vec()));
        bytes = &bytes[length..];
    }
    Some(records)
}

/// Appends a record to `to`.
pub(crate) fn append(to: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    // The length counts its own digits.
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    to.extend_from_slice(format!("{length} ").as_bytes());
    to.extend_from_slice(key);
    to.push(b'=');
    to.extend_from_slice(value);
    to.push(b'\n');
}

/// Returns the key of the attribute `name` as GNU tar reads it: `=` would end the key.
pub(crate) fn xattr_key(name: &[u8]) -> Vec<u8> {
    let mut key = XATTR.to_vec();
    for byte in name {
        match byte {
            b'%' => key.extend_from_slice(b"%25"),
            b'=' => key.extend_from_slice(b"%3D"),
            other => key.push(*other),
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_may_contain_line_feeds_and_zeroes() {
        let mut bytes = Vec::new();
        append(&mut bytes, b"SCHILY.xattr.security.capability", b"\x01\x00\n\n=\x0a");
        append(&mut bytes, b"path", b"x");
        let records = records(&bytes).unwrap();
        assert_eq!(records[0].1, b"\x01\x00\n\n=\x0a");
        assert_eq!(records[1], (b"path".to_vec(), b"x".to_vec()));
    }

    #[test]
    fn a_malformed_record_is_none() {
        for bytes in
            ["5", "5 a=", "x a=b\n", "0 a=b\n", "1 a=b\n", "99 a=b\n", "5 ab\n", "18446744073709551616 a=b\n"]
        {
            assert_eq!(records(bytes.as_bytes()), None, "{bytes}");
        }
    }

    proptest! {
        #[test]
        fn what_is_appended_is_read_again(value in proptest::collection::vec(any::<u8>(), 0..1200)) {
            let mut bytes = Vec::new();
            append(&mut bytes, b"key", &value);
            prop_assert_eq!(records(&bytes), Some(vec![(b"key".to_vec(), value)]));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = records(&bytes);
        }
    }
}
