//! Flags of every command that may start an instance, and what they ask for.

use std::time::Duration;

use base::events::{Event, Reporter};
use base::files::present;
use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};
use image::arch::Arch;
use instances::instance::error::InstanceError;
use instances::instance::start::{Lasts, StartOptions, Wish};
use instances::instance::state::State;
use instances::name::InstanceName;
use instances::ports::PortRequest;
use release::github::Repo;
use release::github::find::Wanted;
use release::names::DEFAULT_BRANCH;
use vm::saving::Strategy;

use super::machine::{Machine, duration};
use crate::context::Context;
use crate::errors::CommandError;
use crate::hints;
use crate::pull::{Order, PullError, Source};

/// Flags of every command that may start an instance.
#[derive(Debug, Args)]
pub(super) struct Launch {
    /// Host port of a service: a number, or `auto` for any free one; repeatable
    #[arg(long = "port", value_name = "NAME=PORT", help_heading = "Ports")]
    ports: Vec<PortRequest>,

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

impl Launch {
    /// The same, as the library takes it. `variable` looks up the variables of ports.
    pub(super) fn options<'a>(
        &self,
        context: &Context<'_>,
        variable: &'a dyn Fn(&str) -> Option<String>,
    ) -> StartOptions<'a> {
        StartOptions {
            machine: self.machine.options(context.arch),
            ports: self.ports.clone(),
            file_ports: context.settings.ports(),
            variable,
            warm_timeout: self.snapshot_timeout,
            warm: !self.no_snapshot,
            strategy: self.strategy,
            rotate: !self.no_rotation,
            directory: context.directory(),
            automatic_ports: context.worktree.is_some(),
            lasts: Lasts::UntilStopped,
        }
    }

    /// Pulls the image of a session that is about to begin, when there is none here.
    pub(super) async fn provide_image(&self, context: &Context<'_>) -> Result<(), CommandError> {
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

/// Warns of flags that have no effect because the instance `name` runs already.
pub(super) fn report_unmet(unmet: &[Wish], name: &InstanceName, reporter: &dyn Reporter) {
    if unmet.is_empty() {
        return;
    }
    let flags: Vec<String> = unmet.iter().map(flag).collect();
    let (flags, instance) = (flags.join(", "), hints::flag(name));
    let text = format!("`{name}` is already running: {flags} will count after `emulator stop{instance}`");
    reporter.report(&Event::Warning(&text));
}

/// Reports that the instance has its data on an image that a newer one has replaced.
pub(super) fn report_newer_image(context: &Context<'_>, reporter: &dyn Reporter) {
    if let Some(newer) = context.instance().newer_image() {
        reporter.report(&Event::Notice(&hints::newer_image(&newer, &context.name)));
    }
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
