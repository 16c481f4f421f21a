//! Command lines: lists of words, or text that is split as a shell splits it.

use super::At;
use crate::error::Result;

/// Characters that mean something to a shell outside of quotes, and nothing here.
const OPERATORS: [char; 8] = [';', '&', '|', '<', '>', '(', ')', '`'];

impl At<'_> {
    /// A command line; nothing if the image's own is kept.
    pub(super) fn command(&self) -> Result<Option<Vec<String>>> {
        if self.is_null() {
            return Ok(None);
        }
        if self.is_list() {
            return self.texts().map(Some);
        }
        let text = self.text()?;
        match split(text) {
            Ok(words) => Ok(Some(words)),
            Err(Unsplit::Quote) => {
                Err(self.error("a quote is not closed").instead("close it, or write a list"))
            }
            Err(Unsplit::Operator(operator)) => Err(self
                .error(format!("`{operator}` has a meaning for a shell only, and no shell runs this"))
                .instead("write a list: `[\"sh\", \"-c\", \"…\"]`")),
        }
    }
}

/// Why a text is not a command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unsplit {
    Quote,
    Operator(char),
}

/// Splits at blanks outside of quotes. Neither `shell-words` nor `shlex` does: they take `#` for a comment, and operators for text.
pub(super) fn split(text: &str) -> std::result::Result<Vec<String>, Unsplit> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '\'' => until_single_quote(&mut characters, word.get_or_insert_default())?,
            '"' => until_double_quote(&mut characters, word.get_or_insert_default())?,
            '\\' => word.get_or_insert_default().push(characters.next().ok_or(Unsplit::Quote)?),
            blank if blank.is_ascii_whitespace() => words.extend(word.take()),
            operator if OPERATORS.contains(&operator) => return Err(Unsplit::Operator(operator)),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    Ok(words)
}

fn until_single_quote(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> std::result::Result<(), Unsplit> {
    for character in characters {
        if character == '\'' {
            return Ok(());
        }
        word.push(character);
    }
    Err(Unsplit::Quote)
}

fn until_double_quote(
    characters: &mut impl Iterator<Item = char>,
    word: &mut String,
) -> std::result::Result<(), Unsplit> {
    while let Some(character) = characters.next() {
        match character {
            '"' => return Ok(()),
            '\\' => match characters.next().ok_or(Unsplit::Quote)? {
                escaped @ ('"' | '\\' | '$' | '`') => word.push(escaped),
                other => word.extend(['\\', other]),
            },
            other => word.push(other),
        }
    }
    Err(Unsplit::Quote)
}
