//! A failed command as programs read it. People read the same on stderr.

use std::ffi::OsString;
use std::process::ExitCode;

use serde::Serialize;

use crate::cli::asks_for_wrapper;
use crate::errors::{CommandError, ErrorView};
use crate::exit::{Exit, NotStarted};
use crate::printer::{Format, Printer};

/// What a command that fails prints instead of its own document; the last line of a stream.
#[derive(Serialize)]
struct Report {
    error: ErrorView,
}

/// Prints `error` as JSON, if that is what was asked for. The error itself is reported on stderr, whatever becomes of this.
pub(crate) fn print(error: &CommandError, hint: Option<String>, printer: Printer) {
    let _ = printer.json_line(&Report { error: ErrorView::of(error, hint) });
}

/// Prints what the parser of the command line has answered: help and version on stdout, errors on stderr, and as JSON if the
/// command line asks for that.
pub(crate) fn of_command_line(answer: &clap::Error) -> ExitCode {
    // Nothing can be done about a closed stream.
    let _ = answer.print();
    if !answer.use_stderr() {
        return Exit::Ok.into();
    }
    if asks_for_json(std::env::args_os().skip(1)) {
        let text = answer.to_string();
        let (message, _) = text.split_once("\n\n").unwrap_or((&text, ""));
        let message = message.trim_start_matches("error: ").trim_end().to_owned();
        let error = ErrorView::of_usage(message, "see `emulator --help`".to_owned());
        let _ = Printer::new(Format::Json).json_line(&Report { error });
    }
    if asks_for_wrapper() { NotStarted::Failed.into() } else { Exit::Usage.into() }
}

/// Whether a command line that cannot be parsed asks for JSON. What follows `--` belongs to another program.
fn asks_for_json(args: impl Iterator<Item = OsString>) -> bool {
    let mut previous = OsString::new();
    for arg in args.take_while(|arg| arg != "--") {
        let value = arg == "json" && (previous == "-o" || previous == "--output");
        if value || arg == "--json" || arg == "--output=json" || arg == "-ojson" || arg == "-o=json" {
            return true;
        }
        previous = arg;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_asks_for_json_in_every_form_of_the_flag() {
        let asks = |line: &str| asks_for_json(line.split(' ').map(OsString::from));
        for line in ["start --json", "-o json start", "start --output json", "-ojson", "--output=json"] {
            assert!(asks(line), "{line}");
        }
        for line in ["start", "start -o table", "logs json", "run -- curl --json", "exec -- x -o json"] {
            assert!(!asks(line), "{line}");
        }
    }
}
