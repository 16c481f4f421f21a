//! The shipped program: its grammar, one file a command, and the printer. The only room that talks to a person.
//!
//! What it does is in `vm`; here is what a person types and reads.

use std::process::ExitCode;

use base::console::Console;
use base::events::{Event, Reporter as _};
use base::interrupt::unless_interrupted;
use base::startup;
use instances::snapshot::capture;

use crate::cli::{Cli, Command, Stop};
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;

mod cli;
mod commands;
mod context;
mod errors;
mod exit;
mod panics;
mod printer;
mod pull;
mod question;
mod views;

/// Runs the command line and gives the process's exit code.
pub fn main() -> ExitCode {
    panics::end_what_was_launched();
    startup::outlive_file_size_limit();
    startup::keep_descriptors();
    let cli = Cli::from_command_line();
    base::limits::raise();
    let console = Console::stderr(cli.global.verbosity());
    match started(&cli, &console) {
        Ok(exit) => exit.into(),
        Err(error) => {
            console.error(&error, error.hint(&cli.global.instance()).as_deref());
            error.exit()
        }
    }
}

fn started(cli: &Cli, console: &Console) -> Result<Exit, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(CommandError::Runtime)?;
    let outcome = runtime.block_on(interruptible(cli, console));
    // A read of stdin or of a slow disk that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    outcome
}

async fn interruptible(cli: &Cli, console: &Console) -> Result<Exit, CommandError> {
    let context = Context::new(&cli.global, console)?;
    context.check_owner(cli.command.home_use())?;
    // Boxed: the future of a start is large, and moved about until it is polled.
    match unless_interrupted(Box::pin(run(&cli.command, &context))).await.map_err(CommandError::Runtime)? {
        Ok(outcome) => outcome,
        Err(signal) => {
            // The start that was dropped has killed its QEMU; what is left is to see it gone and to tidy up. A machine whose stop was
            // dropped goes on.
            if matches!(cli.command, Command::Start(_) | Command::Stop(_)) {
                context.instance().recover_interrupted(console).await?;
            }
            if let Command::Stop(Stop { shutdown: true }) = cli.command {
                let asked = "the guest may have been asked to power off, and does so then: `emulator stop --shutdown` waits for it";
                console.report(&Event::Notice(asked));
            }
            if matches!(cli.command, Command::Start(_) | Command::Capture(_) | Command::Pull(_)) {
                capture::recover_interrupted(&context.home).await.map_err(instances::failure::Error::from)?;
            }
            Err(signal.into())
        }
    }
}

async fn run(command: &Command, context: &Context<'_>) -> Result<Exit, CommandError> {
    match command {
        Command::Start(start) => start.run(context).await,
        Command::Stop(stop) => stop.run(context).await,
        Command::Status(status) => status.run(context).await,
        Command::Rotate(_) => commands::rotate::run(context).await,
        Command::Pull(pull) => pull.run(context).await,
        Command::ListReleases(list) => list.run(context).await,
        Command::Images(_) => commands::images::run(context),
        Command::Prune(prune) => prune.run(context).await,
        Command::Capture(capture) => capture.run(context).await,
        Command::Watch(_) => commands::watch::run(context).await,
        Command::Logs(logs) => logs.run(context).await,
        Command::Reset(reset) => reset.run(context).await,
        Command::Doctor(doctor) => doctor.run(context).await,
        Command::Version(_) => commands::version::run(context),
        Command::Completions(completions) => completions.run(),
    }
}
