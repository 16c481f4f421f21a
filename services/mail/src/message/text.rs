//! Text of a header, in a form that is one line.

/// The text with a space for each control character, and no longer than `limit` characters.
pub(super) fn line(text: &str, limit: usize) -> String {
    let plain = |character: char| if character.is_control() { ' ' } else { character };
    text.trim().chars().map(plain).take(limit).collect()
}

/// The value of a header without the breaks of its lines.
pub(super) fn unfolded(value: &str) -> String {
    value.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The name of a header as Inbucket's programs spell it: `Message-Id`.
pub(super) fn usual(name: &str) -> String {
    let mut is_first = true;
    let spell = |character: char| {
        let spelled = if is_first { character.to_ascii_uppercase() } else { character.to_ascii_lowercase() };
        is_first = character == '-';
        spelled
    };
    name.chars().map(spell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_over_several_lines_becomes_one() {
        assert_eq!(unfolded(" a\r\n\tb\r\n  c\r\n"), "a b c");
    }

    #[test]
    fn a_name_has_its_usual_spelling() {
        assert_eq!(["message-ID", "X-my-header", "to"].map(usual), ["Message-Id", "X-My-Header", "To"]);
    }

    #[test]
    fn a_line_has_an_end() {
        assert_eq!(line(" a\tb\u{1b}[1m\n", 5), "a b [");
    }
}
