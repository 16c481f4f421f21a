//! The shipped program: its grammar, one file a command, and the printer. The only room that talks to a person.
//!
//! What it does is in `instances`; here is what a person types and reads.

use std::cell::OnceCell;
use std::process::ExitCode;

use base::console::Console;
use base::events::{Event, Reporter};
use base::interrupt::{Interrupted, unless_interrupted};
use base::startup;
use instances::instance::fresh;
use vm::error::one_line;

use crate::cli::Cli;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::settings::Settings;
use crate::target::Target;

mod board;
mod cli;
mod commands;
mod context;
mod diagnosis;
mod errors;
mod exit;
mod failure;
mod hints;
mod panics;
mod printer;
mod pull;
mod question;
mod reader;
mod settings;
mod syntax;
mod target;
mod uninstallation;
mod views;

/// The grammar of the command line, for what is made from it.
pub fn grammar() -> clap::Command {
    cli::grammar()
}

/// Runs the command line and gives the process's exit code.
pub fn main() -> ExitCode {
    panics::end_what_was_launched();
    startup::outlive_file_size_limit();
    startup::keep_descriptors();
    let grammar = grammar();
    let settings = Settings::load(&grammar);
    let grammar = settings.iter().fold(grammar, |grammar, settings| settings.apply(grammar));
    let cli = match Cli::from_command_line(grammar) {
        Ok(cli) => cli,
        Err(answer) => return failure::of_command_line(&answer),
    };
    base::limits::raise();
    let console = Console::stderr(cli.global.verbosity());
    let name = OnceCell::new();
    let outcome = settings.map_err(CommandError::from).and_then(|settings| {
        let target = Target::of(&cli, &settings)?;
        let _ = name.set(target.name.clone());
        cli.check_named()?;
        started(&cli, target, &settings, &console)
    });
    match outcome {
        Ok(exit) => exit.into(),
        Err(error) => {
            let hint = hints::of(&error, &name.into_inner().unwrap_or_default());
            console.error(&error, hint.as_deref());
            failure::print(&error, hint, Printer::new(cli.global.format()));
            if cli.command.wraps() { error.exit_of_wrapper() } else { error.exit() }
        }
    }
}

fn started(cli: &Cli, target: Target, settings: &Settings, console: &Console) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let outcome = runtime.block_on(interruptible(cli, target, settings, console));
    // A read of stdin or of a slow disk that no one waits for any more must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn interruptible(
    cli: &Cli,
    target: Target,
    settings: &Settings,
    console: &Console,
) -> Result<Exit, CommandError> {
    let mut context = Context::new(cli, target, settings, console)?;
    context.check_owner(cli.command.home_use())?;
    if cli.command.home_use() == HomeUse::Writes {
        match fresh::sweep(&context.home).await {
            Ok(swept) => context.swept = swept,
            Err(error) => {
                let text = format!(
                    "what a killed `emulator run --fresh` has left is not deleted: {}",
                    one_line(&error)
                );
                console.report(&Event::Warning(&text));
            }
        }
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
            let is_end = signal == Interrupted::BY_CTRL_C && cli.command.until_interrupted();
            if is_end { Ok(Exit::Ok) } else { Err(signal.into()) }
        }
    }
}
