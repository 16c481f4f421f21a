//! `emulator completions`.

use crate::cli::{Completions, grammar};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::print_text;

impl Completions {
    /// Prints the completion script of a shell.
    pub(crate) fn run(&self) -> Result<Exit, CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar(), "emulator", &mut script);
        print_text(&String::from_utf8_lossy(&script)).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
