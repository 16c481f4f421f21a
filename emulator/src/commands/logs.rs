//! `emulator logs`.

use std::ops::ControlFlow;

use instances::instance::logs::{Line, LogQuery};
use time::format_description::well_known::Rfc3339;

use crate::cli::Logs;
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;

impl Logs {
    /// Prints the lines of one source, and with `--follow` new ones as they come.
    pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
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
