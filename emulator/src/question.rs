//! Questions to the person at the terminal. They are asked here and nowhere else, so that each leaves the terminal as it was.

use std::io::{self, IsTerminal};

use base::text::harmless;
use dialoguer::Confirm;
use dialoguer::console::Term;
use instances::name::InstanceName;

use crate::errors::CommandError;
use crate::hints;

/// What is asked before data is thrown away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// Whether the data of an instance may go.
    Reset,
    /// Whether an instance may go.
    Delete,
}

impl Question {
    /// The command that asks.
    pub(crate) fn command(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Delete => "delete",
        }
    }

    /// The same with the instance that it is about.
    pub(crate) fn command_for(self, name: &InstanceName) -> String {
        match self {
            Self::Reset => format!("reset{}", hints::flag(name)),
            Self::Delete => format!("delete {name}"),
        }
    }

    fn text(self, name: &InstanceName) -> String {
        match self {
            Self::Reset => format!("Throw away everything that was written in `{name}`?"),
            Self::Delete => format!("Delete `{name}` with everything that was written in it?"),
        }
    }

    /// Asks about the instance `name`, and gives whether the answer is yes.
    ///
    /// # Errors
    /// When there is no terminal to ask on, or it cannot be read.
    pub(crate) fn ask(self, name: &InstanceName) -> Result<bool, CommandError> {
        if !can_be_asked() {
            return Err(CommandError::NotConfirmed { question: self, name: name.clone() });
        }
        confirmed(&self.text(name))
    }
}

/// Whether there is somebody to ask.
pub(crate) fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks `question` and returns whether the answer is yes; a missing answer means no.
///
/// # Errors
/// When the terminal cannot be read, or an interruption comes instead of an answer.
pub(crate) fn confirmed(question: &str) -> Result<bool, CommandError> {
    let terminal = Term::stderr();
    let prompt = Confirm::new().with_prompt(harmless(question)).default(false);
    prompt.interact_on(&terminal).map_err(|error| {
        // The question has hidden the cursor and left it on its own line. The error itself is reported, whatever becomes of this.
        let _ = terminal.show_cursor().and_then(|()| terminal.write_line(""));
        error.into()
    })
}
