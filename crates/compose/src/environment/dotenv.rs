//! Files of variables, `.env` and those of `env_file`, as `docker compose` reads them.

use std::collections::BTreeMap;
use std::path::Path;

use super::template::Expander;
use crate::error::{ComposeError, Place, Result};

/// Most bytes that all values of variables in a file together may have.
const ROOM: usize = 1 << 20;

/// Variables by their names.
pub(crate) type Variables = BTreeMap<String, String>;

/// Where variables have values outside of a file.
type Outer<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads the content of `file`, which `key` of the compose file names. A name without a value has the one of `outer`, if any.
pub(crate) fn parse(file: &Path, key: &str, bytes: &[u8], outer: Outer<'_>) -> Result<Variables> {
    let mut reader = Reader { file, key, rest: text(file, key, bytes)?, line: 1, room: ROOM };
    let mut variables = Variables::new();
    while let Some((name, is_assigned)) = reader.name()? {
        let value = if is_assigned { Some(reader.value(&variables, outer)?) } else { outer(name) };
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(variables)
}

/// Reads the content of a file whose lines are names and values as they are: without quotes, escapes and variables.
pub(crate) fn parse_raw(file: &Path, key: &str, bytes: &[u8], outer: Outer<'_>) -> Result<Variables> {
    let mut variables = Variables::new();
    for (line, text) in (1..).zip(text(file, key, bytes)?.lines()) {
        let text = text.trim_start();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || name.contains(char::is_whitespace) {
            let place = Some(Place { line, column: 1 });
            return Err(invalid_name(name, ComposeError::new(file, place, key, "")));
        }
        let value = value.map(str::to_owned).or_else(|| outer(name));
        variables.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(variables)
}

fn text<'a>(file: &Path, key: &str, bytes: &'a [u8]) -> Result<&'a str> {
    let wrong = |reason: &str| ComposeError::new(file, None, key, reason).instead("save it as UTF-8 text");
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    if text.contains('\0') {
        return Err(wrong("it has a NUL character"));
    }
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

fn invalid_name(name: &str, error: ComposeError) -> ComposeError {
    let reason = format!("{name:?} is not a valid name of a variable");
    ComposeError { reason, ..error }.instead("write `NAME=value`")
}

struct Reader<'a> {
    file: &'a Path,
    key: &'a str,
    rest: &'a str,
    line: u32,
    room: usize,
}

impl<'a> Reader<'a> {
    /// The next name and whether a value follows, which the rest then begins with. Nothing at the end of the file.
    fn name(&mut self) -> Result<Option<(&'a str, bool)>> {
        loop {
            self.take(self.rest.len() - self.rest.trim_start().len());
            if self.rest.is_empty() {
                return Ok(None);
            }
            if !self.rest.starts_with('#') {
                break;
            }
            self.take_line();
        }
        let line = self.line;
        let name = self.take(self.rest.find(['=', ':', '\n']).unwrap_or(self.rest.len())).trim();
        let exported = name.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        let name = exported.unwrap_or(name).trim();
        let known = |c: char| c.is_alphanumeric() || "_.-[]".contains(c);
        if name.is_empty() || !name.chars().all(known) {
            return Err(invalid_name(name, self.error(line, "")));
        }
        let is_assigned = self.rest.starts_with(['=', ':']);
        if is_assigned {
            self.take(1);
        }
        Ok(Some((name, is_assigned)))
    }

    fn value(&mut self, own: &Variables, outer: Outer<'_>) -> Result<String> {
        self.take(self.rest.len() - self.rest.trim_start_matches([' ', '\t']).len());
        match self.rest.chars().next() {
            Some('\'') => self.quoted('\'').map(|text| text.replace("\\'", "'")),
            Some('"') => {
                let text = self.quoted('"')?;
                self.expand(&unescaped(text), own, outer)
            }
            _ => {
                let line = self.take_line();
                let end = line.find(" #");
                self.expand(line[..end.unwrap_or(line.len())].trim_end(), own, outer)
            }
        }
    }

    /// What is between this quote and the next one that is not escaped.
    fn quoted(&mut self, quote: char) -> Result<&'a str> {
        let (line, inside, mut escaped) = (self.line, &self.rest[1..], false);
        let end = inside.find(|c: char| {
            let ends = c == quote && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let Some(end) = end else {
            return Err(self.error(line, format!("the quote {quote} is not closed")).instead("close it"));
        };
        self.take(end + 2);
        let (line, behind) = (self.line, self.take_line().trim());
        if !behind.is_empty() && !behind.starts_with('#') {
            let error = self.error(line, format!("{behind:?} follows a quoted value"));
            return Err(error.instead("put all of the value into the quotes"));
        }
        Ok(&inside[..end])
    }

    fn expand(&mut self, text: &str, own: &Variables, outer: Outer<'_>) -> Result<String> {
        let lookup = |name: &str| outer(name).or_else(|| own.get(name).cloned());
        let value = Expander::new(&lookup, self.room).expand(text).map_err(|problem| {
            let (reason, instead) = problem.words();
            self.error(self.line, reason).instead(instead)
        })?;
        self.room = self.room.saturating_sub(value.len());
        Ok(value)
    }

    fn take_line(&mut self) -> &'a str {
        self.take(self.rest.find('\n').unwrap_or(self.rest.len()))
    }

    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        let lines = taken.bytes().filter(|byte| *byte == b'\n').count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        self.rest = rest;
        taken
    }

    fn error(&self, line: u32, reason: impl Into<String>) -> ComposeError {
        ComposeError::new(self.file, Some(Place { line, column: 1 }), self.key, reason)
    }
}

/// The text with the escapes of double quotes applied. A dollar sign that is escaped does not name a variable.
fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            plain.push(character);
            continue;
        }
        match characters.next() {
            Some('a') => plain.push('\x07'),
            Some('b') => plain.push('\x08'),
            Some('f') => plain.push('\x0c'),
            Some('n') => plain.push('\n'),
            Some('r') => plain.push('\r'),
            Some('t') => plain.push('\t'),
            Some('v') => plain.push('\x0b'),
            Some('$') => plain.push_str("$$"),
            Some(other @ ('"' | '\\')) => plain.push(other),
            Some(other) => plain.extend(['\\', other]),
            None => plain.push('\\'),
        }
    }
    plain
}
