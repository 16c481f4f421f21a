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
pub(crate) enum Question<'a> {
    /// Whether the data of an instance may go.
    Reset(&'a InstanceName),
    /// Whether an instance may go.
    Delete(&'a InstanceName),
    /// Whether all of them may go.
    DeleteAll(&'a [InstanceName]),
    /// Whether those may go whose directories are gone.
    Prune(&'a [InstanceName]),
}

impl Question<'_> {
    /// The command that asks, as a person types it.
    fn command(self) -> String {
        match self {
            Self::Reset(name) => format!("reset{}", hints::flag(name)),
            Self::Delete(name) => format!("delete {name}"),
            Self::DeleteAll(_) => "delete --all".to_owned(),
            Self::Prune(_) => "prune --instances".to_owned(),
        }
    }

    /// Whose data it is about.
    fn whose(self) -> String {
        match self {
            Self::Reset(name) | Self::Delete(name) => format!("instance `{name}`"),
            Self::DeleteAll(names) => format!("all instances ({})", listed(names)),
            Self::Prune(names) => format!("the instances {}", listed(names)),
        }
    }

    fn text(self) -> String {
        match self {
            Self::Reset(name) => format!("Throw away everything that was written in `{name}`?"),
            Self::Delete(name) => format!("Delete `{name}` with everything that was written in it?"),
            Self::DeleteAll(names) => {
                format!("Delete all instances ({}) with everything that was written in them?", listed(names))
            }
            Self::Prune(names) => {
                format!("Delete {} with everything that was written in them?", listed(names))
            }
        }
    }

    /// Asks, and gives whether the answer is yes.
    ///
    /// # Errors
    /// When there is no terminal to ask on, or it cannot be read.
    pub(crate) fn ask(self) -> Result<bool, CommandError> {
        if !can_be_asked() {
            return Err(CommandError::NotConfirmed { command: self.command(), whose: self.whose() });
        }
        confirmed(&self.text())
    }
}

fn listed(names: &[InstanceName]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
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
