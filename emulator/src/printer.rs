//! What goes to stdout: one JSON document or one table, and nothing else.

use std::io::{self, IsTerminal, Write};

use base::text::{harmless, harmless_json, indented};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use comfy_table::{Table, presets};
use serde::Serialize;

use crate::syntax::Syntax;

/// Version of the JSON that every command prints. It changes when a key changes its meaning or goes away; new keys do not
/// change it.
pub(crate) const SCHEMA_VERSION: u32 = 1;

/// What a command prints: a table for people, JSON for programs, or environment variables in a language that sets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Variables(Syntax),
}

impl Format {
    /// The formats that every command has.
    pub(crate) fn of_commands() -> impl TypedValueParser<Value = Self> {
        Self::among(&["table", "json"])
    }

    /// The formats of environment variables.
    pub(crate) fn of_variables() -> impl TypedValueParser<Value = Self> {
        Self::among(&["dotenv", "json", "shell", "powershell", "github"])
    }

    fn among(names: &'static [&'static str]) -> impl TypedValueParser<Value = Self> {
        PossibleValuesParser::new(names).map(|name| match name.as_str() {
            "json" => Self::Json,
            "dotenv" => Self::Variables(Syntax::Dotenv),
            "shell" => Self::Variables(Syntax::Shell),
            "powershell" => Self::Variables(Syntax::PowerShell),
            "github" => Self::Variables(Syntax::GitHub),
            _ => Self::Table,
        })
    }
}

/// Every JSON document: the version, then the command's own keys.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a, T> {
    schema_version: u32,
    #[serde(flatten)]
    data: &'a T,
}

/// The one way to stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    format: Format,
}

impl Printer {
    /// A printer of `format`.
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    /// What it prints.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Prints `data` as one indented JSON document, or as what `people` makes of it.
    ///
    /// # Errors
    /// When stdout cannot be written, other than because its reader has gone.
    pub(crate) fn print<T: Serialize>(self, data: &T, people: impl FnOnce(&T) -> String) -> io::Result<()> {
        let text = match self.format {
            Format::Json => harmless_json(&serde_json::to_string_pretty(&document(data))?).into_owned(),
            Format::Table | Format::Variables(_) => harmless(&people(data)).into_owned(),
        };
        print_text(&text)
    }

    /// Prints `data` as a JSON document on a line of its own if JSON was asked for, and nothing otherwise.
    ///
    /// # Errors
    /// As [`Printer::entry`].
    pub(crate) fn json_line<T: Serialize>(self, data: &T) -> io::Result<()> {
        match self.format {
            Format::Json => self.entry(data, |_| String::new()),
            Format::Table | Format::Variables(_) => Ok(()),
        }
    }

    /// Prints one entry of a stream: a JSON document on a line of its own, or a line of text.
    ///
    /// # Errors
    /// As [`Printer::print`], and with [`io::ErrorKind::BrokenPipe`] when the reader has gone, so that the stream can end.
    pub(crate) fn entry<T: Serialize>(self, data: &T, people: impl FnOnce(&T) -> String) -> io::Result<()> {
        let line = match self.format {
            Format::Json => harmless_json(&serde_json::to_string(&document(data))?).into_owned(),
            // A pipe gets the bytes as they came, a person's terminal must not obey them.
            Format::Table | Format::Variables(_) if io::stdout().is_terminal() => {
                indented(&people(data), "    ").into_owned()
            }
            Format::Table | Format::Variables(_) => people(data),
        };
        write_line(&line)
    }
}

/// Prints text as it is, with a final line break.
///
/// # Errors
/// As [`Printer::print`].
pub(crate) fn print_text(text: &str) -> io::Result<()> {
    match write_line(text.trim_end()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

fn document<T: Serialize>(data: &T) -> Document<'_, T> {
    Document { schema_version: SCHEMA_VERSION, data }
}

fn write_line(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.write_all(b"\n")?;
    stdout.flush()
}

/// A table without lines: columns two spaces apart, as `ps` prints them.
pub(crate) fn table<'a>(
    header: impl IntoIterator<Item = &'a str>,
    rows: impl IntoIterator<Item: IntoIterator<Item = String>>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// Names and values below each other, for one thing with several properties.
pub(crate) fn properties<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    for (name, value) in rows {
        table.add_row([name.to_owned(), value]);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_begins_with_its_schema_version() {
        #[derive(Serialize)]
        struct Data {
            state: &'static str,
        }
        let text = serde_json::to_string(&document(&Data { state: "running" })).unwrap();
        assert_eq!(text, r#"{"schemaVersion":1,"state":"running"}"#);
    }

    #[test]
    fn tables_are_plain_columns() {
        let rows = [["backend".to_owned(), "26701".to_owned()], ["ui".to_owned(), "1".to_owned()]];
        insta::assert_snapshot!(table(["NAME", "PORT"], rows), @r"
        NAME     PORT
        backend  26701
        ui       1
        ");
        insta::assert_snapshot!(properties([("state", "running".to_owned()), ("pid", "7".to_owned())]), @r"
        state  running
        pid    7
        ");
    }
}
