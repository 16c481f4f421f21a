//! Numbers in headers: octal digits, or bytes with the highest bit of the first one set (GNU).

/// Reads a field; one without digits is zero, which hard links have where nothing was filled in. None if it is something else.
pub(super) fn read(field: &[u8]) -> Option<i64> {
    match field {
        [first, rest @ ..] if first & 0x80 != 0 => binary(*first, rest),
        _ => octal(field),
    }
}

/// A two's complement, whose sign is the second bit.
fn binary(first: u8, rest: &[u8]) -> Option<i64> {
    let start = i64::from(first & 0x3f) - if first & 0x40 == 0 { 0 } else { 0x40 };
    rest.iter().try_fold(start, |number, byte| Some(number.checked_mul(256)? + i64::from(*byte)))
}

fn octal(field: &[u8]) -> Option<i64> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | 0);
    let start = field.iter().position(|byte| !is_blank(byte)).unwrap_or(field.len());
    let field = &field[start..];
    let end = field.iter().position(is_blank).unwrap_or(field.len());
    let digits = std::str::from_utf8(&field[..end]).ok()?;
    match digits {
        "" => Some(0),
        digits if digits.starts_with('+') || digits.starts_with('-') => None,
        digits => i64::from_str_radix(digits, 8).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_every_form() {
        let filled = |first: u8, last: u8| {
            let mut field = [first; 12];
            field[0] = if first == 0 { 0x80 } else { 0xff };
            field[11] = last;
            field
        };
        for (field, expected) in [
            (&b"0000644\0"[..], Some(0o644)),
            (b"   644 \0", Some(0o644)),
            (b"77777777", Some(0o77_777_777)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"        ", Some(0)),
            (b"-000001\0", None),
            (b"0000648\0", None),
            (b"\x80\0\0\0\x01\0\0\x01", Some(0x0100_0001)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (&filled(0, 5), Some(5)),
            (&filled(0xff, 0xff), Some(-1)),
            (&[0x81; 12], None),
        ] {
            assert_eq!(read(field), expected, "{field:?}");
        }
    }
}
