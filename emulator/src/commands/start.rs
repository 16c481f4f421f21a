//! `emulator start`.

use base::events::{Event, Reporter};
use clap::{Args, value_parser};
use instances::instance::start::{StartOptions, Started};
use instances::name::InvalidName;

use super::launch::{Launch, report_newer_image, report_unmet};
use super::{Run, capture, several, watch};
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use report::{One, Part, Several};

mod report;

/// Start the machine and wait until every service answers
#[derive(Debug, Args)]
#[command(after_help = "\
If the instance is already running, `start` reports its state and exits 0. A
suspended instance resumes with its data and secrets. A new session starts from
a snapshot, made on this machine the first time, and gets its own secrets: see
them with `emulator status --show-secrets`.

Each host port is taken from the first of these that is set: `--port`, the
variable that the image names for it, an earlier `--port` of this instance, the
image's default. The instance of a linked git worktree has automatic ports
instead of the defaults: free ones, which it keeps.

Examples:
  emulator start
  emulator start --port backend=30001 --port dashboard=auto
  emulator start --accel tcg --timeout 5m
  emulator start --no-snapshot          boot, instead of resuming
  emulator start -o json                ports, phases and seconds for a program
  emulator start --count 4 --instance shard
                                        `shard-1` to `shard-4`, on own ports
  emulator start --repo OWNER/NAME      pull an image if there is none here")]
pub(crate) struct Start {
    /// Start so many instances, `NAME-1` to `NAME-N`, all on automatic ports
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=COUNT_LIMIT), conflicts_with = "ports")]
    count: Option<u32>,

    #[command(flatten)]
    launch: Launch,
}

/// Most instances of one command: each is a machine with memory of its own.
const COUNT_LIMIT: i64 = 99;

impl Run for Start {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        if let Some(count) = self.count {
            return self.start_several(context, count).await;
        }
        self.launch.provide_image(context).await?;
        let started = self.bring_up(context, context.worktree.is_some(), context.console).await?;
        watch::spawn(context);
        let report = One::of(context.name.as_str(), &started);
        context.printer.print(&report, One::people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        // The start that was dropped has killed its QEMU; what is left is to see it gone and to tidy up.
        for context in self.targets(context)? {
            context.instance().recover_interrupted(context.console).await?;
            // Of several, some may run already.
            if context.instance().running().is_ok() {
                watch::spawn(&context);
            }
        }
        capture::recover(context).await
    }
}

impl Start {
    /// Starts the instance. Its attendant is the caller's to start, also beside a machine that ran already: what watched it may have been
    /// killed. One that is there stays the only one.
    async fn bring_up(
        &self,
        context: &Context<'_>,
        automatic_ports: bool,
        reporter: &dyn Reporter,
    ) -> Result<Started, CommandError> {
        // A port that is given for one instance cannot be that of several.
        let variable = |name: &str| context.settings.variable(name).filter(|_| self.count.is_none());
        let own = self.launch.options(context, &variable);
        let file_ports = if self.count.is_none() { own.file_ports } else { Vec::new() };
        let options = StartOptions { automatic_ports, file_ports, ..own };
        let started = context.instance().start(&options, reporter).await?;
        let Started { live, unmet, .. } = &started;
        report_unmet(unmet, &context.name, reporter);
        report_newer_image(context, reporter);
        if !live.run.rotated && !live.stack.secrets.is_empty() {
            let text = format!(
                "the secrets are the image's well-known placeholders: `emulator reset{}` and a start without \
                 `--no-rotation` give the next session its own",
                hints::flag(&context.name)
            );
            reporter.report(&Event::Warning(&text));
        }
        Ok(started)
    }

    /// The instances that it starts.
    fn targets<'a>(&self, context: &Context<'a>) -> Result<Vec<Context<'a>>, InvalidName> {
        let Some(count) = self.count else { return Ok(vec![context.about(context.name.clone())]) };
        let one = |number| {
            let numbered = context.about(context.name.numbered(number)?);
            Ok(Context { worktree: context.worktree.clone(), ..numbered })
        };
        (1..=count).map(one).collect()
    }

    async fn start_several(&self, context: &Context<'_>, count: u32) -> Result<Exit, CommandError> {
        let targets = self.targets(context)?;
        for target in &targets {
            self.launch.provide_image(target).await?;
        }
        let start = async |context: &Context<'_>, reporter: &dyn Reporter| {
            self.bring_up(context, true, reporter).await
        };
        let outcomes = several::each(&format!("Start {count} instances"), &targets, start).await;
        // Only now: an attendant has its machine do what could wait, which would take the processors from the starts that are left.
        for (target, _) in targets.iter().zip(&outcomes).filter(|(_, outcome)| outcome.is_ok()) {
            watch::spawn(target);
        }
        let names = targets.iter().map(|target| target.name.as_str());
        let report =
            Several { instances: names.zip(&outcomes).map(|(name, it)| Part::of(name, it)).collect() };
        context.printer.print(&report, Several::people).map_err(CommandError::Stdout)?;
        Ok(if outcomes.iter().all(Result::is_ok) { Exit::Ok } else { Exit::Failed })
    }
}
