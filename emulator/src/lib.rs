//! The shipped program: its grammar, one file a command, and the printer. The only room that talks to a person.
//!
//! What it does is in `instances`; here is what a person types and reads.

use std::process::ExitCode;

use base::console::Console;
use base::events::{Event, Reporter};
use base::interrupt::unless_interrupted;
use base::startup;
use instances::instance::fresh;
use vm::error::one_line;

use crate::cli::Cli;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::target::Target;

mod cli;
mod commands;
mod context;
mod errors;
mod exit;
mod hints;
mod panics;
mod printer;
mod pull;
mod question;
mod syntax;
mod target;
mod views;

/// Runs the command line and gives the process's exit code.
pub fn main() -> ExitCode {
    panics::end_what_was_launched();
    startup::outlive_file_size_limit();
    startup::keep_descriptors();
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    base::limits::raise();
    let console = Console::stderr(cli.global.verbosity());
    let target = Target::of(&cli);
    let name = target.as_ref().map(|target| target.name.clone()).unwrap_or_default();
    match target.map_err(CommandError::from).and_then(|target| started(&cli, target, &console)) {
        Ok(exit) => exit.into(),
        Err(error) => {
            console.error(&error, hints::of(&error, &name).as_deref());
            if cli.command.wraps() { error.exit_of_wrapper() } else { error.exit() }
        }
    }
}

fn started(cli: &Cli, target: Target, console: &Console) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let outcome = runtime.block_on(interruptible(cli, target, console));
    // A read of stdin or of a slow disk that no one waits for any more must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn interruptible(cli: &Cli, target: Target, console: &Console) -> Result<Exit, CommandError> {
    let context = Context::new(cli, target, console)?;
    context.check_owner(cli.command.home_use())?;
    if cli.command.home_use() == HomeUse::Writes
        && let Err(error) = fresh::sweep(&context.home).await
    {
        let text =
            format!("what a killed `emulator run --fresh` has left is not deleted: {}", one_line(&error));
        console.report(&Event::Warning(&text));
    }
    // Boxed: the future of a start is large, and moved about until it is polled.
    let work = Box::pin(cli.command.run(&context));
    if cli.command.wraps() {
        return work.await;
    }
    match unless_interrupted(work).await.map_err(CommandError::Runtime)? {
        Ok(outcome) => outcome,
        Err(signal) => {
            cli.command.interrupted(&context).await?;
            Err(signal.into())
        }
    }
}
