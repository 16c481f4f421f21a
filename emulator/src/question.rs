//! Questions to the person at the terminal. They are asked here and nowhere else, so that each leaves the terminal as it was.

use std::io::{self, IsTerminal};

use base::text::harmless;
use dialoguer::Confirm;
use dialoguer::console::Term;

use crate::errors::CommandError;

/// Whether there is somebody to ask.
pub(crate) fn can_be_asked() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether the answer to `question` is yes; without an answer it is no.
///
/// # Errors
/// When the terminal cannot be read, or an interruption comes in place of an answer.
pub(crate) fn confirmed(question: &str) -> Result<bool, CommandError> {
    let terminal = Term::stderr();
    let prompt = Confirm::new().with_prompt(harmless(question)).default(false);
    prompt.interact_on(&terminal).map_err(|error| {
        // The question has hidden the cursor and left it on its own line. The error itself is what is told, whatever becomes of this.
        let _ = terminal.show_cursor().and_then(|()| terminal.write_line(""));
        error.into()
    })
}
