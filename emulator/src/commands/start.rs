//! `emulator start`.

use std::time::Duration;

use base::events::{Event, Reporter};
use base::files::present;
use base::variables;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args, value_parser};
use image::arch::Arch;
use instances::instance::error::InstanceError;
use instances::instance::start::{StartOptions, Started, Wish};
use instances::instance::state::State;
use instances::name::InvalidName;
use instances::ports::PortRequest;
use release::github::Repo;
use release::github::find::Wanted;
use release::names::DEFAULT_BRANCH;
use vm::saving::Strategy;

use super::machine::{Machine, duration};
use super::{Run, capture, several, watch};
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use crate::pull::{Order, PullError, Source};
use report::{One, Part, Several};

mod report;

/// Start the machine and wait until every service answers
#[derive(Debug, Args)]
#[command(after_help = "\
If the instance is already running, `start` reports its state and exits 0. A suspended instance
resumes with its data and secrets. A new session starts from a snapshot, made on this machine the
first time, and gets its own secrets: see them with `emulator status --show-secrets`.

Each host port is taken from the first of these that is set: `--port`, the variable that the image
names for it, an earlier `--port` of this instance, the image's default. The instance of a linked
git worktree has automatic ports instead of the defaults: free ones, which it keeps.

Examples:
  emulator start
  emulator start --port backend=30001 --port dashboard=auto
  emulator start --accel tcg --timeout 5m
  emulator start --no-snapshot          boot instead of resuming from saved memory
  emulator start -o json                ports, phases and seconds for a program
  emulator start --count 4 --instance shard
                                        `shard-1` to `shard-4`, each on ports of its own
  emulator start --repo OWNER/NAME      on a machine without an image: pull one first")]
pub(crate) struct Start {
    /// Host port of a service: a number, or `auto` for any free one; repeatable
    #[arg(long = "port", value_name = "NAME=PORT", help_heading = "Ports")]
    ports: Vec<PortRequest>,

    /// Start so many instances, `NAME-1` to `NAME-N`, all on automatic ports
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..=COUNT_LIMIT), conflicts_with = "ports")]
    count: Option<u32>,

    #[command(flatten)]
    machine: Machine,

    /// Repository to pull the image from when there is none here
    #[arg(
        long,
        env = "EMULATOR_REPO",
        hide_env_values = true,
        value_name = "OWNER/NAME",
        help_heading = "Image"
    )]
    repo: Option<Repo>,

    /// Never pull: fail when there is no image here
    #[arg(long, help_heading = "Image")]
    offline: bool,

    /// Boot instead of resuming from saved memory
    #[arg(long, env = "EMULATOR_NO_SNAPSHOT", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
    no_snapshot: bool,

    /// How a new session's snapshot keeps memory; by default the first that is possible here
    #[arg(long, value_name = "template|mapped-ram", help_heading = "Snapshot")]
    strategy: Option<Strategy>,

    /// Leave the image's well-known placeholders in a new session instead of its own secrets
    #[arg(long, env = "EMULATOR_NO_ROTATION", hide_env_values = true, value_parser = BoolishValueParser::new(), action = ArgAction::SetTrue, help_heading = "Snapshot")]
    no_rotation: bool,

    /// Longest wait for the services when resuming from saved memory, `10s`
    #[arg(long, env = "EMULATOR_SNAPSHOT_READY_TIMEOUT", hide_env_values = true, value_name = "DURATION", value_parser = duration, help_heading = "Snapshot")]
    snapshot_timeout: Option<Duration>,
}

/// Most instances of one command: each is a machine with memory of its own.
const COUNT_LIMIT: i64 = 99;

impl Run for Start {
    const HOME_USE: HomeUse = HomeUse::Writes;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        if let Some(count) = self.count {
            return self.start_several(context, count).await;
        }
        self.provide_image(context).await?;
        let started = self.bring_up(context, context.worktree.is_some(), context.console).await?;
        let report = One::of(context.name.as_str(), &started);
        context.printer.print(&report, One::people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }

    async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
        // The start that was dropped has killed its QEMU; what is left is to see it gone and to tidy up.
        for context in self.targets(context)? {
            context.instance().recover_interrupted(context.console).await?;
        }
        capture::recover(context).await
    }
}

impl Start {
    /// Starts the instance, and what watches it.
    async fn bring_up(
        &self,
        context: &Context<'_>,
        automatic_ports: bool,
        reporter: &dyn Reporter,
    ) -> Result<Started, CommandError> {
        // A port that is given for one instance cannot be that of several.
        let variable: &dyn Fn(&str) -> Option<String> =
            if self.count.is_some() { &unset } else { &variables::text };
        let options = StartOptions {
            machine: self.machine.options(context.arch),
            ports: self.ports.clone(),
            variable,
            warm_timeout: self.snapshot_timeout,
            warm: !self.no_snapshot,
            strategy: self.strategy,
            rotate: !self.no_rotation,
            directory: context.directory(),
            automatic_ports,
        };
        let started = context.instance().start(&options, reporter).await?;
        let Started { live, unmet, .. } = &started;
        if !unmet.is_empty() {
            let flags: Vec<String> = unmet.iter().map(flag).collect();
            let (flags, instance) = (flags.join(", "), hints::flag(&context.name));
            let text = format!(
                "`{}` is already running: {flags} will count after `emulator stop{instance}`",
                context.name
            );
            reporter.report(&Event::Warning(&text));
        }
        // Also beside a machine that ran already: what watched it may have been killed. One that is there stays the only one.
        watch::spawn(context);
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
            self.provide_image(target).await?;
        }
        let start = async |context: &Context<'_>, reporter: &dyn Reporter| {
            self.bring_up(context, true, reporter).await
        };
        let outcomes = several::each(&format!("Start {count} instances"), &targets, start).await;
        let names = targets.iter().map(|target| target.name.as_str());
        let report =
            Several { instances: names.zip(&outcomes).map(|(name, it)| Part::of(name, it)).collect() };
        context.printer.print(&report, Several::people).map_err(CommandError::Stdout)?;
        Ok(if outcomes.iter().all(Result::is_ok) { Exit::Ok } else { Exit::Failed })
    }

    /// Pulls the image of a session that is about to begin, when there is none here.
    async fn provide_image(&self, context: &Context<'_>) -> Result<(), CommandError> {
        let begins = match context.instance().state()? {
            State::Absent => Some(None),
            State::Stopped(record) if record.session.is_none() => Some(record.arch),
            _ => None,
        };
        let Some(own) = begins else { return Ok(()) };
        let arch = context.arch.or(own).or_else(Arch::host).unwrap_or(Arch::Amd64);
        let image = context.home.image(arch);
        if self.machine.image.is_some() || present(&image).map_err(InstanceError::from)? {
            return Ok(());
        }
        if self.offline {
            return Err(PullError::Offline(arch).into());
        }
        // Without a repository the start itself says what is missing, and how to get it.
        let Some(repo) = self.repo.clone() else { return Ok(()) };
        let wanted = Wanted::Branch(DEFAULT_BRANCH.to_owned());
        let source = Source::GitHub { repo, wanted };
        let (home, console) = (&context.home, context.console);
        let order = Order { home, console, arch, source, allow_fork: false, force: false };
        order.fulfil().await.map(drop)
    }
}

/// A variable that is not looked up.
fn unset(_: &str) -> Option<String> {
    None
}

/// The flag that makes such a wish.
fn flag(wish: &Wish) -> String {
    match wish {
        Wish::Accelerator => "`--accel`".to_owned(),
        Wish::Arch => "`--arch`".to_owned(),
        Wish::Cpus => "`--cpus`".to_owned(),
        Wish::Memory => "`--memory`".to_owned(),
        Wish::Image => "`--image`".to_owned(),
        Wish::Port(name) => format!("`--port {name}=…`"),
    }
}
