//! `emulator run`.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::pin::pin;
use std::process::ExitStatus;
use std::time::Instant;

use base::events::{Event, Reporter};
use base::interrupt::Interrupted;
use base::process::Cmd;
use base::process::attached::Attached;
use base::signals::Signals;
use clap::Args;
use instances::attendant;
use instances::instance::Instance;
use instances::instance::exports::Variable;
use instances::instance::live::Live;
use instances::instance::runs::Used;
use instances::instance::start::{Lasts, StartOptions};
use instances::instance::state::State;
use vm::error::one_line;

use super::config_file::ConfigFile;
use super::launch::{Launch, report_unmet};
use super::patience::{Patience, Reaction, interrupted};
use super::{Run, capture, watch};
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use long_phases::LongPhases;

mod long_phases;

/// Run a command beside the instance, with what it needs in its environment
#[derive(Debug, Args)]
#[command(after_help = "\
The command gets the variables that `emulator env` prints; they replace
variables of the same names. It is run without a shell, with the terminal and
the streams of this program. An instance that does not run is started, and
stopped when the last `run` that uses it has ended. One that runs is used as it
is, and stays.

`--fresh` gives the command an instance of its own: new data, new secrets, free
ports. It is deleted afterwards, whatever happens to the command or to this
program.

Signals are passed on. A second Ctrl-C within 5 s kills the command and what it
has started.

Exit codes: the command's; 128 + n when signal n ended it; 127 when there is no
such command, 126 when it cannot be run, 125 when anything else failed before it
was run. Whether there is such a command is found out before a machine is
started for it.

Examples:
  emulator run -- npm run dev
  emulator run --fresh -- npm test      a backend for this test run alone
  emulator run --fresh --keep -- sh -c 'npm test || true'
  emulator run -- sh -c 'env | grep STACK_'")]
pub(crate) struct RunCommand {
    /// Use an instance of its own, which is deleted afterwards
    #[arg(long, conflicts_with = "instance")]
    fresh: bool,

    /// Leave the instance running
    #[arg(long)]
    keep: bool,

    #[command(flatten)]
    config_file: ConfigFile,

    #[command(flatten)]
    launch: Launch,

    /// Command to run, with its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    command: Vec<OsString>,
}

impl Run for RunCommand {
    const HOME_USE: HomeUse = HomeUse::Writes;
    const WRAPS: bool = true;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        // Before a machine is started for it.
        self.alone().check()?;
        let signals = Signals::collect().map_err(CommandError::Runtime)?;
        let (own, used) = self.beside(context).await?;
        let context = own.as_ref().unwrap_or(context);
        let instance = context.instance();
        let long_phases = LongPhases::new(context.console);
        let reporter: &dyn Reporter =
            if shows_everything(context, &instance) { context.console } else { &long_phases };
        let mut patience = Patience::default();
        let (child, outcome) = match self.started(context, reporter, &signals).await {
            Ok((mut child, live)) => {
                let lost = Box::pin(self.lost(&instance, &live));
                let ended = followed(&mut child, lost, &signals, &mut patience, context.console).await;
                (Some(child), ended)
            }
            Err(error) => (None, Err(error)),
        };
        let end = Box::pin(instance.end_run(used, reporter));
        if let Err(error) = undisturbed(end, child, &signals, &mut patience).await? {
            let text = format!("instance `{}` is not stopped: {}", instance.name(), one_line(&error));
            context.console.report(&Event::Warning(&text));
        }
        outcome.map(Exit::from)
    }
}

impl RunCommand {
    /// Begins to use the instance, which may not run yet; with what is given to commands on it, where it is one of its own.
    async fn beside<'a>(&self, context: &Context<'a>) -> Result<(Option<Context<'a>>, Used), CommandError> {
        if self.fresh {
            let (instance, used) = Instance::fresh(&context.home, context.console).await?;
            return Ok((Some(context.about(instance.name().clone())), used));
        }
        Ok((None, context.instance().begin_run(context.console).await?))
    }

    /// Starts the command, once the instance is ready. A signal before that interrupts the start.
    async fn started(
        &self,
        context: &Context<'_>,
        reporter: &dyn Reporter,
        signals: &Signals,
    ) -> Result<(Attached, Live), CommandError> {
        let ready = Box::pin(self.ready(context, reporter));
        let (command, live) = tokio::select! {
            ready = ready => ready?,
            number = interrupted(signals) => {
                // The start that was dropped has killed its QEMU; what is left is to see it gone and to tidy up.
                context.instance().recover_interrupted(context.console).await?;
                capture::recover(context).await?;
                return Err(Interrupted(number.map_err(CommandError::Runtime)?).into());
            }
        };
        Ok((command.attach()?, live))
    }

    /// Starts the instance, or waits for it if it runs, and returns the command with its variables.
    async fn ready(
        &self,
        context: &Context<'_>,
        reporter: &dyn Reporter,
    ) -> Result<(Cmd, Live), CommandError> {
        self.launch.provide_image(context).await?;
        let instance = context.instance();
        // What other instances are moved to by a variable is theirs.
        let variable = |name: &str| context.settings.variable(name).filter(|_| !self.fresh);
        let common = self.launch.options(context, &variable);
        let options = if self.fresh {
            StartOptions { automatic_ports: true, file_ports: Vec::new(), ..common }
        } else {
            StartOptions {
                lasts: if self.keep { Lasts::UntilStopped } else { Lasts::UntilRunsEnd },
                ..common
            }
        };
        let started = instance.start(&options, reporter).await?;
        report_unmet(&started.unmet, instance.name(), context.console);
        if self.fresh && self.keep {
            instance.keep_fresh()?;
        }
        if !started.already_running || !attendant::is_there(&instance)? {
            watch::spawn(context);
        }
        let exports = instance.exports(&started.live, self.config_file.path.as_deref()).await?;
        if exports.unconfirmed {
            context.console.report(&Event::Warning(&hints::unconfirmed(instance.name())));
        }
        let set = |command: Cmd, variable: &Variable| command.env(&variable.name, variable.value.reveal());
        Ok((exports.variables.iter().fold(self.alone(), set), started.live))
    }

    /// Waits until the machine has ended that no command has ended, and returns what to say about that.
    async fn lost(&self, instance: &Instance, live: &Live) -> String {
        let name = instance.name();
        match instance.lost(live).await {
            Ok(loss) if self.fresh => {
                format!("the machine of `{name}` has ended while the command runs: {loss}")
            }
            Ok(loss) => format!(
                "the machine of `{name}` has ended while the command runs: {loss}; `emulator start{}` boots it with its data",
                hints::flag(name)
            ),
            Err(error) => format!("it is unknown whether `{name}` still runs: {}", one_line(&error)),
        }
    }

    /// The command without the variables of the stack, none of which has an effect on what it is.
    fn alone(&self) -> Cmd {
        let (program, args) = self.command.split_first().expect("the grammar requires a command");
        Cmd::new(program).args(args)
    }
}

/// Whether every phase of the start is shown: not to programs, and not where there is nothing to wait for.
fn shows_everything(context: &Context<'_>, instance: &Instance) -> bool {
    let runs = || matches!(instance.state(), Ok(State::Running(_)));
    context.verbose || (std::io::stderr().is_terminal() && !runs())
}

/// Waits for the end of the command, which gets the signals meanwhile. What `lost` returns is a warning, once.
async fn followed(
    child: &mut Attached,
    lost: impl Future<Output = String>,
    signals: &Signals,
    patience: &mut Patience,
    console: &dyn Reporter,
) -> Result<ExitStatus, CommandError> {
    let (mut lost, mut warned) = (pin!(lost), false);
    loop {
        let received = tokio::select! {
            status = child.ended() => return status.map_err(CommandError::Runtime),
            text = &mut lost, if !warned => {
                warned = true;
                console.report(&Event::Warning(&text));
                continue;
            }
            received = signals.next() => received.map_err(CommandError::Runtime)?,
        };
        match patience.reaction(received.number, Instant::now()) {
            // The terminal has sent it to the command as well.
            Reaction::PassOn if received.from_terminal => {}
            Reaction::PassOn => child.signal(received.number),
            Reaction::Nothing => {}
            Reaction::Kill => child.kill().await,
        }
    }
}

/// Lets `end` finish, whatever signals come; the second one kills what the command has left.
async fn undisturbed<T>(
    end: impl Future<Output = T>,
    child: Option<Attached>,
    signals: &Signals,
    patience: &mut Patience,
) -> Result<T, CommandError> {
    let (mut end, mut child) = (std::pin::pin!(end), child);
    loop {
        tokio::select! {
            ended = &mut end => return Ok(ended),
            received = signals.next() => {
                let received = received.map_err(CommandError::Runtime)?;
                if let (Reaction::Kill, Some(child)) = (patience.reaction(received.number, Instant::now()), &mut child) {
                    child.kill().await;
                }
            }
        }
    }
}
