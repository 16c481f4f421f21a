//! The maintainers' commands: `cargo xtask …`.

mod bench;
mod cli;
mod documents;
mod hints;
mod host_qemu;
mod packages;
#[cfg(test)]
mod style;
mod tasks;
#[cfg(test)]
mod workflows;

use std::path::Path;
use std::process::ExitCode;

use base::command_line;
use base::console::Console;
use base::interrupt::{Interrupted, unless_interrupted};
use base::startup;
use clap::CommandFactory;

use crate::cli::Cli;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    startup::outlive_file_size_limit();
    let cli: Cli = command_line::parse(Cli::command()).unwrap_or_else(|error| error.exit());
    let console = Console::stderr(cli.verbosity());
    let outcome = match unless_interrupted(run(cli, &console)).await {
        Ok(Ok(result)) => result,
        Ok(Err(signal @ Interrupted(number))) => {
            console.error(&signal, None);
            return ExitCode::from(u8::try_from(128 + number).unwrap_or(u8::MAX));
        }
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.error(error.as_ref(), hints::of(&error).as_deref());
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: Cli, console: &Console) -> anyhow::Result<()> {
    // Tasks name files of the repository by relative paths; this is the one place that makes that right.
    std::env::set_current_dir(
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask is in the workspace"),
    )?;
    // The future of all tasks together is too big for the stack.
    Box::pin(cli.task.run(console)).await
}
