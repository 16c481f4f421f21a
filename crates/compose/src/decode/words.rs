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

/// Splits at blanks outside of quotes as compose does: outside of single quotes, a backslash takes the meaning from the next
/// character, but `\t` and `\n` are a tab and a line break. `shell-words` and `shlex` take `#` for a comment, and operators for text.
pub(super) fn split(text: &str) -> std::result::Result<Vec<String>, Unsplit> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if open == character => quote = None,
            (None, '\'' | '"') => {
                word.get_or_insert_default();
                quote = Some(character);
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(match characters.next() {
                Some('t') => '\t',
                Some('n') => '\n',
                Some(escaped) => escaped,
                None => return Err(Unsplit::Quote),
            }),
            (None, blank) if blank.is_ascii_whitespace() => words.extend(word.take()),
            (None, operator) if OPERATORS.contains(&operator) => return Err(Unsplit::Operator(operator)),
            (_, other) => word.get_or_insert_default().push(other),
        }
    }
    if quote.is_some() {
        return Err(Unsplit::Quote);
    }
    words.extend(word);
    Ok(words)
}
