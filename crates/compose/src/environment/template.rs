//! Text that names variables: `$NAME`, `${NAME}`, `${NAME:-default}` and its relatives, and `$$` for a dollar sign.

use std::mem;

/// Most defaults inside each other.
const DEPTH_LIMIT: usize = 32;

/// Characters of an invalid text that a message shows.
const SHOWN: usize = 24;

/// Replaces variables by their values.
pub(crate) struct Expander<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Bytes that all values together may still have.
    room: usize,
    unset: Vec<String>,
}

/// Why a text cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The rest of the text from a dollar sign on does not name a variable.
    Invalid(String),
    /// A variable without which the text has no meaning, and the text's own words about it.
    Missing { name: String, words: String },
    /// The values are longer than what is allowed.
    TooLong,
}

/// What follows the name of a variable in braces.
#[derive(Clone, Copy)]
enum Operator {
    Default,
    Required,
    Alternative,
}

impl<'a> Expander<'a> {
    pub(crate) fn new(lookup: &'a dyn Fn(&str) -> Option<String>, room: usize) -> Self {
        Self { lookup, room, unset: Vec::new() }
    }

    /// The variables without value and default since the last call: each became nothing.
    pub(crate) fn take_unset(&mut self) -> Vec<String> {
        mem::take(&mut self.unset)
    }

    /// Expands `text`.
    pub(crate) fn expand(&mut self, text: &str) -> Result<String, Problem> {
        self.expand_at(text, 0)
    }

    fn expand_at(&mut self, text: &str, depth: usize) -> Result<String, Problem> {
        let (mut expanded, mut rest) = (String::new(), text);
        while let Some(at) = rest.find('$') {
            expanded.push_str(&rest[..at]);
            let (value, after) = self.variable(&rest[at..], depth)?;
            self.room = self.room.checked_sub(value.len()).ok_or(Problem::TooLong)?;
            expanded.push_str(&value);
            rest = after;
        }
        expanded.push_str(rest);
        Ok(expanded)
    }

    /// The value of the variable that `text` begins with, and what is behind it.
    fn variable<'t>(&mut self, text: &'t str, depth: usize) -> Result<(String, &'t str), Problem> {
        let invalid = || Problem::Invalid(text.chars().take(SHOWN).collect());
        let after = &text[1..];
        if let Some(rest) = after.strip_prefix('$') {
            return Ok(("$".to_owned(), rest));
        }
        let Some(braced) = after.strip_prefix('{') else {
            let (name, rest) = name(after).ok_or_else(invalid)?;
            return Ok((self.plain(name), rest));
        };
        let end = closing(braced).filter(|_| depth < DEPTH_LIMIT).ok_or_else(invalid)?;
        let (inside, rest) = (&braced[..end], &braced[end + 1..]);
        let (name, operation) = name(inside).ok_or_else(invalid)?;
        if operation.is_empty() {
            return Ok((self.plain(name), rest));
        }
        let (filled, operation) = operation.strip_prefix(':').map_or((false, operation), |rest| (true, rest));
        let (operator, argument) = match operation.split_at_checked(1) {
            Some(("-", argument)) => (Operator::Default, argument),
            Some(("?", argument)) => (Operator::Required, argument),
            Some(("+", argument)) => (Operator::Alternative, argument),
            _ => return Err(invalid()),
        };
        let value = (self.lookup)(name).filter(|value| !filled || !value.is_empty());
        let value = match (operator, value) {
            (Operator::Default | Operator::Required, Some(value)) => value,
            (Operator::Alternative, None) => String::new(),
            (Operator::Default, None) | (Operator::Alternative, Some(_)) => {
                self.expand_at(argument, depth + 1)?
            }
            (Operator::Required, None) => {
                let words = self.expand_at(argument, depth + 1)?;
                return Err(Problem::Missing { name: name.to_owned(), words });
            }
        };
        Ok((value, rest))
    }

    fn plain(&mut self, name: &str) -> String {
        (self.lookup)(name).unwrap_or_else(|| {
            self.unset.push(name.to_owned());
            String::new()
        })
    }
}

/// The name that `text` begins with, and the rest.
fn name(text: &str) -> Option<(&str, &str)> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(first) {
        return None;
    }
    let end = bytes.iter().position(|byte| !(first(*byte) || byte.is_ascii_digit()));
    Some(text.split_at(end.unwrap_or(bytes.len())))
}

/// Where the brace closes that was opened before `text`.
fn closing(text: &str) -> Option<usize> {
    let (mut depth, mut previous) = (0, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if previous == b'$' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        previous = byte;
    }
    None
}

impl Problem {
    /// What is wrong, and what to write instead.
    pub(crate) fn words(&self) -> (String, String) {
        match self {
            Self::Invalid(text) => {
                (format!("{text:?} does not name a variable"), "write `$$` for a dollar sign".to_owned())
            }
            Self::Missing { name, words } => {
                let why = if words.is_empty() { String::new() } else { format!(": {words}") };
                (format!("the variable `{name}` is required and has no value{why}"), format!("set `{name}`"))
            }
            Self::TooLong => {
                ("the values of variables are too long".to_owned(), "put long content into files".to_owned())
            }
        }
    }
}
