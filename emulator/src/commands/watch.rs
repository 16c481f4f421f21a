//! `emulator watch`: the attendant of a running instance. `start` runs it; it ends with the machine.

use base::process::Cmd;
use clap::Args;
use instances::attendant;
use vm::home::HOME_VARIABLE;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

/// Keep the clock of a running instance correct (started by `start`, ends with the machine)
#[derive(Debug, Args)]
pub(crate) struct Watch {}

impl Run for Watch {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        attendant::attend(&context.instance()).await?;
        Ok(Exit::Ok)
    }
}

/// Starts that in a process of its own. The instance runs without it too, so that a failure is only reported.
pub(crate) fn spawn(context: &Context<'_>) {
    let spawned = std::env::current_exe().map_err(|error| error.to_string()).and_then(|program| {
        let instance = context.instance();
        // It begins in another directory, which a relative path in the environment would be read from.
        let command = Cmd::new(program)
            .args(["watch", "--quiet", "--instance", context.name.as_str()])
            .env(HOME_VARIABLE, context.home.root());
        command.spawn_detached(&instance.dir().watch_log()).map_err(|error| error.to_string())
    });
    if let Err(error) = spawned {
        context.console.line(&format!("the clock of `{}` is not kept correct: {error}", context.name));
    }
}
