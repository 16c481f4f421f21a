//! Text from images, guests, archives and the network, made harmless before a person reads it on a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;

/// `text` with visible escapes (`\u{1b}`) in place of all that a terminal would obey or that hides or reorders what is
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

fn is_harmful(character: char) -> bool {
    match character {
        '\n' | '\t' => false,
        '\u{61c}'
        | '\u{200b}'
        | '\u{200e}'
        | '\u{200f}'
        | '\u{feff}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'
        | '\u{2066}'..='\u{2069}' => true,
        other => other.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
