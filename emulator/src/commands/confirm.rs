//! The flag of every command that asks before it throws data away.

use clap::Args;

use crate::errors::CommandError;
use crate::question::Question;

/// Whether to ask.
#[derive(Debug, Args)]
pub(super) struct Confirm {
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

impl Confirm {
    /// Gives whether the command may do what `question` asks.
    ///
    /// # Errors
    /// When there is no terminal to ask on, or it cannot be read.
    pub(super) fn confirmed(&self, question: Question<'_>) -> Result<bool, CommandError> {
        if self.yes { Ok(true) } else { question.ask() }
    }
}
