//! Why a compose file cannot be used: where, what, and what to write instead.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A position in a file, both from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: u32,
    /// The column, in characters.
    pub column: u32,
}

/// Why a compose file cannot be used.
#[derive(Debug, thiserror::Error)]
pub struct ComposeError {
    /// The file: the compose file, or one that it names.
    pub file: PathBuf,
    /// Where in the file; the file as a whole without it.
    pub place: Option<Place>,
    /// The key that is to blame: `services.web.ports[1]`. Empty for the file as a whole.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to write instead.
    pub instead: Option<String>,
    /// What the operating system has said.
    #[source]
    pub source: Option<io::Error>,
}

pub(crate) type Result<T> = std::result::Result<T, ComposeError>;

impl ComposeError {
    pub(crate) fn new(file: &Path, place: Option<Place>, key: &str, reason: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            place,
            key: key.to_owned(),
            reason: reason.into(),
            instead: None,
            source: None,
        }
    }

    /// The same with what to write instead.
    pub(crate) fn instead(self, instead: impl Into<String>) -> Self {
        Self { instead: Some(instead.into()), ..self }
    }

    /// The same with the answer of the operating system as its cause.
    pub(crate) fn caused_by(self, source: io::Error) -> Self {
        Self { source: Some(source), ..self }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.line, self.column)
    }
}

impl fmt::Display for ComposeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.file.display())?;
        if let Some(place) = self.place {
            write!(formatter, ":{place}")?;
        }
        if !self.key.is_empty() {
            write!(formatter, ": `{}`", self.key)?;
        }
        write!(formatter, ": {}", self.reason)?;
        self.instead.iter().try_for_each(|instead| write!(formatter, "; {instead}"))
    }
}
