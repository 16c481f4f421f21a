//! Text from images, guests, archives and the network, made harmless before a person reads it on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns `text` with visible escapes (`\u{1b}`) instead of everything that a terminal would obey or that hides or reorders what is
/// read: control characters other than line break and tab, marks of direction, and invisible separators.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            let _ = write!(shown, "{}", character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// [`harmless`] text whose lines after the first begin with `indent`, so that none of them can pass for a line of the program's own.
pub fn indented<'a>(text: &'a str, indent: &str) -> Cow<'a, str> {
    let text = harmless(text);
    if text.contains('\n') { Cow::Owned(text.replace('\n', &format!("\n{indent}"))) } else { text }
}

/// Returns the JSON document `text` with JSON's escapes instead of what a terminal would obey; it means the same.
pub fn harmless_json(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_harmful(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let _ = write!(shown, "\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    Cow::Owned(shown)
}

/// The first `limit` characters of what a guest or a program said, and whether there was more.
pub fn beginning(text: &str, limit: usize) -> Cow<'_, str> {
    match text.char_indices().nth(limit) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// Whether a terminal would obey something in `text`, or a reader be misled by it.
pub fn is_harmless(text: &str) -> bool {
    !text.chars().any(is_harmful)
}

fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{feff}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn no_line_after_the_first_begins_where_those_of_the_program_do() {
        assert_eq!(indented("no\nhint: run \u{1b}[2J", "    "), "no\n    hint: run \\u{1b}[2J");
        assert!(matches!(indented("one line", "    "), Cow::Borrowed(_)));
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(beginning("äöü", 2), "äö…");
        assert!(matches!(beginning("äöü", 3), Cow::Borrowed("äöü")));
    }

    #[test]
    fn json_without_control_characters_means_the_same() {
        let text = "{\"a\": \"\u{9b}2J\u{202e}\u{e0041}\"}";
        let shown = harmless_json(text);
        assert_eq!(shown, r#"{"a": "\u009b2J\u202e\udb40\udc41"}"#);
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&shown), value(text));
        assert!(matches!(harmless_json("{\n  \"a\": 1\n}"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn nothing_is_left_that_a_terminal_obeys(text: String) {
            let obeyed = |shown: &str| shown.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
            prop_assert!(!obeyed(&harmless(&text)));
            prop_assert!(!obeyed(&harmless_json(&text)));
            prop_assert!(indented(&text, "  ").lines().skip(1).all(|line| line.starts_with("  ")));
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_shown_as_an_escape() {
        assert_eq!(harmless("a\u{1b}[2Jb\r\u{7f}\u{9b}"), r"a\u{1b}[2Jb\u{d}\u{7f}\u{9b}");
    }

    #[test]
    fn what_hides_or_reorders_text_is_shown_as_an_escape() {
        assert_eq!(harmless("a\u{202e}b\u{2066}\u{200f}\u{2028}"), r"a\u{202e}b\u{2066}\u{200f}\u{2028}");
    }

    #[test]
    fn ordinary_text_of_several_lines_stays_as_it_is() {
        assert!(matches!(harmless("✓ café\n\tzwei"), Cow::Borrowed(_)));
    }
}
