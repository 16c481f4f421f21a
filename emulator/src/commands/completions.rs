//! `emulator completions`.

use clap::Args;
use clap_complete::Shell;

use super::Run;
use crate::cli::grammar;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::print_text;

/// Print the completion script of a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator completions bash > ~/.local/share/bash-completion/completions/emulator
  emulator completions zsh > ~/.zfunc/_emulator
  emulator completions fish > ~/.config/fish/completions/emulator.fish")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Run for Completions {
    const HOME_USE: HomeUse = HomeUse::Nothing;

    async fn run(&self, _context: &Context<'_>) -> Result<Exit, CommandError> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut grammar(), "emulator", &mut script);
        print_text(&String::from_utf8_lossy(&script)).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
