//! `emulator wait`.

use std::time::{Duration, Instant};

use base::console::seconds;
use clap::Args;
use serde::Serialize;

use super::Run;
use super::machine::duration;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::views::{InstanceView, MachineView};

/// Wait until the instance runs and every service answers
#[derive(Debug, Args)]
#[command(after_help = "\
`start` waits by itself: this is for programs that have not started the instance
themselves. A start that is in progress is waited for. Without one, the wait
ends at once, unless `--for-start` is given.

Exit codes: 0 running and healthy, 3 not running, 6 the deadline passed, 1 it
has failed meanwhile.

Examples:
  emulator wait
  emulator wait --timeout 10s
  emulator wait --for-start             also for a start that has not begun yet
  emulator wait -o json                 ports and seconds for a program")]
pub(crate) struct Wait {
    /// Longest wait, `90s` or `5m`; by default what the accelerator needs to boot
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    timeout: Option<Duration>,

    /// Wait for an instance that does not run, too: another command is going to start it
    #[arg(long)]
    for_start: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    healthy: bool,
    /// How long was waited.
    seconds: f64,
    #[serde(flatten)]
    machine: MachineView<'a>,
}

impl Run for Wait {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let start = Instant::now();
        let live = context.instance().wait(self.timeout, self.for_start, context.console).await?;
        let waited = start.elapsed();
        let report = Report {
            instance: context.name.as_str(),
            state: "running",
            healthy: true,
            seconds: waited.as_secs_f64(),
            machine: InstanceView::of(Some(&live)).machine,
        };
        let people = |report: &Report<'_>| {
            format!("`{}` is running and healthy ({})", report.instance, seconds(waited))
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}
