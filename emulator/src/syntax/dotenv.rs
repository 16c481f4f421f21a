//! Values in files that are called `.env`.
//!
//! There is no standard. What is written here is read alike by npm's `dotenv` and `PyPI`'s `python-dotenv`, whose rules differ: in
//! single quotes the first knows no escapes and the second two, in double quotes they share `\n` and `\r` only, and the second
//! replaces `${NAME}` everywhere.

/// A value as both read it; `None` if no way of writing it is read alike.
pub(super) fn value(value: &str) -> Option<String> {
    if value.contains("${") {
        return None;
    }
    if is_plain(value) {
        return Some(value.to_owned());
    }
    if !value.contains(['\'', '\r']) && !value.contains(r"\\") && !value.ends_with('\\') {
        return Some(format!("'{value}'"));
    }
    if !value.contains('"') && backslashes_stay(value) {
        return Some(format!("\"{}\"", value.replace('\r', r"\r")));
    }
    // Without quotes everything up to the end of the line is the value, quotes and backslashes too.
    let begins = value.starts_with(['\'', '"', '`']);
    let blank = |character: char| character.is_whitespace() || character == '\u{feff}';
    let framed = value.starts_with(blank) || value.ends_with(blank);
    let ends = ['\n', '\r', '\u{2028}', '\u{2029}', '#'];
    (!begins && !framed && !value.contains(ends)).then(|| value.to_owned())
}

/// Whether every reader, a shell among them, takes the value as it is.
fn is_plain(value: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_-+./:,@%=".contains(&byte);
    !value.is_empty() && value.bytes().all(known)
}

/// Whether no backslash of the value begins an escape in double quotes.
fn backslashes_stay(value: &str) -> bool {
    let mut after = value.split('\\').skip(1);
    after.all(|rest| rest.starts_with(|next: char| !"'\"abfnrtv".contains(next)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_only_as_much_as_both_readers_need() {
        for (plain, written) in [
            ("http://127.0.0.1:26701", "http://127.0.0.1:26701"),
            ("", "''"),
            ("a b", "'a b'"),
            ("a#b", "'a#b'"),
            ("$HOME", "'$HOME'"),
            ("two\nlines", "'two\nlines'"),
            ("a\"b", "'a\"b'"),
            (r"C:\dir", r"'C:\dir'"),
            ("it's # one", "\"it's # one\""),
            ("it's\r\nmore", "\"it's\\r\nmore\""),
            ("it's \"both\"", "it's \"both\""),
            (r"two\\of them", r"two\\of them"),
            (r"end\", r"end\"),
        ] {
            assert_eq!(value(plain).as_deref(), Some(written), "{plain:?}");
        }
    }

    #[test]
    fn what_the_readers_take_differently_is_not_written() {
        for plain in ["${HOME}", "'\"", "it's\n\"both\"", "both ' \" #", "\\\\\n", "\\\\\r"] {
            assert_eq!(value(plain), None, "{plain:?}");
        }
    }
}
