//! `emulator logs`.

use std::ops::ControlFlow;

use clap::Args;
use instances::instance::logs::{Line, LogQuery};
use time::format_description::well_known::Rfc3339;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

/// Show logs of the services, the serial console or QEMU
#[derive(Debug, Args)]
#[command(after_help = "\
Sources: `serial` (the guest's console), `qemu`, and every service that the image names.
Without a source: all services of a running instance, the console of a stopped one.

Examples:
  emulator logs
  emulator logs backend -n 20
  emulator logs serial --follow
  emulator logs postgres -o json        one JSON document a line")]
pub(crate) struct Logs {
    /// Service, `serial` or `qemu`
    #[arg(value_name = "SOURCE")]
    source: Option<String>,

    /// Show new lines as they come, until the instance stops
    #[arg(short, long)]
    follow: bool,

    /// How many of the last lines to show
    #[arg(short = 'n', long, value_name = "N", default_value_t = 100)]
    lines: usize,
}

impl Run for Logs {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let query = LogQuery { source: self.source.as_deref(), lines: self.lines, follow: self.follow };
        let mut failure = None;
        let take = |line: Line| match context.printer.entry(&line, people) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        };
        context.instance().logs(query, take).await?;
        match failure {
            // `emulator logs | head` ends here, as it should.
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::Stdout(error)),
            _ => Ok(Exit::Ok),
        }
    }
}

/// Files as they are; a journal's lines with their time and service.
fn people(line: &Line) -> String {
    let time = line.time.and_then(|time| time.truncate_to_second().format(&Rfc3339).ok());
    match time {
        Some(time) => format!("{time} {:<10} {}", line.source, line.text),
        None => line.text.clone(),
    }
}
