//! Something that is shown again and again: on a terminal in the same place, elsewhere whenever it has changed.

use std::io::{self, IsTerminal as _};

use dialoguer::console::Term;
use serde::Serialize;

use crate::printer::{Format, Printer};

/// Where it is shown.
pub(crate) struct Board {
    printer: Printer,
    terminal: Option<Term>,
    last: Option<String>,
    abandoned: bool,
}

impl Board {
    /// On stdout.
    pub(crate) fn new(printer: Printer) -> Self {
        let live = printer.format() == Format::Table && io::stdout().is_terminal();
        Self { printer, terminal: live.then(Term::stdout), last: None, abandoned: false }
    }

    /// Whether the reader of stdout has gone.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.abandoned
    }

    /// Shows `data`, unless that is what is shown already.
    ///
    /// # Errors
    /// When stdout cannot be written, other than because its reader has gone.
    pub(crate) fn show<T: Serialize>(
        &mut self,
        data: &T,
        people: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let current = serde_json::to_string(data)?;
        if self.last.as_ref() == Some(&current) {
            return Ok(());
        }
        let is_first = self.last.replace(current).is_none();
        let shown = match (&self.terminal, self.printer.format()) {
            (Some(terminal), _) => terminal.clear_screen().and_then(|()| self.printer.print(data, people)),
            (None, Format::Table) if !is_first => {
                self.printer.entry(data, |data| format!("\n{}", people(data)))
            }
            (None, _) => self.printer.entry(data, people),
        };
        match shown {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.abandoned = true,
            shown => shown?,
        }
        Ok(())
    }
}
