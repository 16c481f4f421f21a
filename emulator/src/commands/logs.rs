//! `emulator logs`.

use std::ops::ControlFlow;

use clap::Args;
use instances::instance::logs::{Line, LogQuery};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Run;
use super::machine::duration;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::reader;

/// How many lines are shown where nothing else is asked for.
const LINES: usize = 100;

/// Show logs of the services, the serial console or QEMU
#[derive(Debug, Args)]
#[command(after_help = "\
Sources: `serial` (the guest's console), `qemu`, and every service that the
image names. Without a source: all services of a running instance, the console
of a stopped one.

Examples:
  emulator logs
  emulator logs backend -n 20
  emulator logs --since 10m             everything of the last ten minutes
  emulator logs serial --follow
  emulator logs postgres -o json        one JSON document a line")]
pub(crate) struct Logs {
    /// Service, `serial` or `qemu`
    #[arg(value_name = "SOURCE")]
    source: Option<String>,

    /// Show new lines as they come, until the instance stops
    #[arg(short, long)]
    follow: bool,

    /// How many of the last lines to show; by default 100, or all with `--since`
    #[arg(short = 'n', long, value_name = "N")]
    lines: Option<usize>,

    /// Only lines of services from this time on: `10m` ago, or `2026-01-31T12:00:00Z`
    #[arg(long, value_name = "DURATION|TIME", value_parser = since)]
    since: Option<OffsetDateTime>,
}

impl Run for Logs {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let query = LogQuery {
            source: self.source.as_deref(),
            lines: self.lines.or_else(|| self.since.is_none().then_some(LINES)),
            since: self.since,
            follow: self.follow,
        };
        let mut failure = None;
        let take = |line: Line| match context.printer.entry(&line, people) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        };
        let instance = context.instance();
        tokio::select! {
            shown = instance.logs(query, take) => shown?,
            () = reader::gone(), if self.follow => {}
        }
        match failure {
            // `emulator logs | head` ends here, as it should.
            Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CommandError::Stdout(error)),
            _ => Ok(Exit::Ok),
        }
    }
}

/// A time that is named as such, or by how long ago it was.
fn since(text: &str) -> Result<OffsetDateTime, String> {
    let ago = |_| OffsetDateTime::now_utc().checked_sub(duration(text).ok()?.try_into().ok()?);
    OffsetDateTime::parse(text, &Rfc3339).or_else(|error| {
        ago(error).ok_or_else(|| format!("invalid time `{text}`: use `10m`, or `2026-01-31T12:00:00Z`"))
    })
}

/// Files as they are; a journal's lines with their time and service.
fn people(line: &Line) -> String {
    let time = line.time.and_then(|time| time.truncate_to_second().format(&Rfc3339).ok());
    match time {
        Some(time) => format!("{time} {:<10} {}", line.source, line.text),
        None => line.text.clone(),
    }
}
