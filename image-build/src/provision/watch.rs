//! Watches the provisioning of a guest: steps become phases, failures an outcome, silence a stall.
//!
//! The watcher gets lines and the time, and does not access processes or files.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use base::events::{Phase, Reporter};

use protocol::progress::{self, Event, Marker};

/// Lines that are kept of the console and of the running step, for the error message.
const TAIL: usize = 20;

/// Name and title of the phase before the first step.
const BOOT: (&str, &str) = ("boot", "Boot the machine");

/// Name and title of the phase after the last step.
const POWER_OFF: (&str, &str) = ("power-off", "Power off the machine");

/// The state of provisioning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// In progress.
    Running,
    /// Succeeded; the machine powers off.
    Done,
    /// Failed.
    Failed(StepFailure),
    /// Will not end: a CPU of the guest has stalled.
    CpuStall,
}

/// A step that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StepFailure {
    /// The step's file name; `None` when the guest could not report it.
    pub(super) step: Option<String>,
    /// "exited with status 3" and the like.
    pub(super) status: String,
    /// The last lines that it printed.
    pub(super) tail: Vec<String>,
}

/// Watches one guest.
pub(super) struct Watch<'a> {
    reporter: &'a dyn Reporter,
    state: State,
    phase: Option<Phase<'a>>,
    step: Option<String>,
    step_tail: VecDeque<String>,
    console_tail: VecDeque<String>,
    last_sign: Instant,
}

impl<'a> Watch<'a> {
    pub(super) fn new(reporter: &'a dyn Reporter, now: Instant) -> Self {
        Self {
            reporter,
            state: State::Running,
            phase: Some(Phase::start(reporter, BOOT.0, BOOT.1)),
            step: None,
            step_tail: VecDeque::new(),
            console_tail: VecDeque::new(),
            last_sign: now,
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// The running step.
    pub(super) fn step(&self) -> Option<&str> {
        self.step.as_deref()
    }

    /// The last lines of the running step, else of the console.
    pub(super) fn tail(&self) -> Vec<String> {
        let tail = if self.step_tail.is_empty() { &self.console_tail } else { &self.step_tail };
        tail.iter().cloned().collect()
    }

    /// Records that the guest gave a sign of life.
    pub(super) fn alive(&mut self, now: Instant) {
        self.last_sign = now;
    }

    /// How long the guest has been silent.
    pub(super) fn silence(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.last_sign)
    }

    /// Ends the last phase: the machine is off.
    pub(super) fn off(&mut self) {
        self.end_phase();
    }

    /// Takes a line from the progress port.
    pub(super) fn progress(&mut self, line: &[u8]) {
        match progress::parse(line) {
            Ok(event) => self.event(event),
            Err(error) => {
                let text = format!("{error}: {}", String::from_utf8_lossy(line));
                self.detail(&text);
            }
        }
    }

    /// Takes a line from the console.
    pub(super) fn console(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        match progress::marker(&line) {
            Some(Marker::Notice(text)) => self.detail(text),
            Some(Marker::Done) => self.done(),
            Some(Marker::Failed) if self.state == State::Running => {
                let tail = self.tail();
                self.state =
                    State::Failed(StepFailure { step: self.step.take(), status: "failed".to_owned(), tail });
            }
            Some(Marker::CpuStall) if self.state == State::Running => self.state = State::CpuStall,
            Some(Marker::Failed | Marker::CpuStall) | None => {}
        }
        push(&mut self.console_tail, line.into_owned());
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Start { step, title } => {
                self.end_phase();
                self.phase = Some(Phase::start(self.reporter, &format!("provision-{step}"), &title));
                self.step = Some(step);
                self.step_tail.clear();
            }
            Event::Line { text, .. } => {
                self.detail(&text);
                push(&mut self.step_tail, text);
            }
            Event::End { .. } => {
                self.end_phase();
                self.step = None;
                self.step_tail.clear();
            }
            Event::Failed { step, status, tail } => {
                self.state = State::Failed(StepFailure { step: Some(step), status, tail });
                // Dropped, not ended: the phase has failed.
                self.phase = None;
            }
            Event::Done => self.done(),
        }
    }

    fn done(&mut self) {
        if self.state == State::Running {
            self.end_phase();
            self.state = State::Done;
            self.phase = Some(Phase::start(self.reporter, POWER_OFF.0, POWER_OFF.1));
        }
    }

    fn end_phase(&mut self) {
        if let Some(phase) = self.phase.take() {
            phase.done();
        }
    }

    fn detail(&self, text: &str) {
        if let Some(phase) = &self.phase {
            phase.detail(text);
        }
    }
}

fn push(tail: &mut VecDeque<String>, line: String) {
    if line.is_empty() {
        return;
    }
    if tail.len() == TAIL {
        tail.pop_front();
    }
    tail.push_back(line);
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use base::events::{self, Silent};

    use super::*;

    #[derive(Default)]
    struct Record(Mutex<Vec<String>>);

    impl Reporter for Record {
        fn report(&self, event: &events::Event<'_>) {
            let line = match event {
                events::Event::Started { title, .. } => format!("start {title}"),
                events::Event::Detail { text, .. } => format!("  {text}"),
                events::Event::Ended { phase, ok, .. } => format!("end {phase} {ok}"),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(line);
        }
    }

    const START: &[u8] = br#"{"v":1,"event":"start","step":"30-database","title":"Initialise PostgreSQL"}"#;
    const LINE: &[u8] = br#"{"v":1,"event":"line","step":"30-database","text":"creating template1"}"#;
    const END: &[u8] = br#"{"v":1,"event":"end","step":"30-database","seconds":1.25}"#;
    const FAILED: &[u8] =
        br#"{"v":1,"event":"failed","step":"30-database","status":"exited with status 3","tail":["no space"]}"#;
    const DONE: &[u8] = br#"{"v":1,"event":"done"}"#;

    #[test]
    fn every_step_is_a_phase() {
        let record = Record::default();
        let mut watch = Watch::new(&record, Instant::now());
        for line in [START, LINE, END, DONE] {
            watch.progress(line);
        }
        watch.off();
        insta::assert_snapshot!(record.0.lock().unwrap().join("\n"), @r"
        start Boot the machine
        end boot true
        start Initialise PostgreSQL
          creating template1
        end provision-30-database true
        start Power off the machine
        end power-off true
        ");
        assert_eq!(watch.state(), &State::Done);
    }

    #[test]
    fn a_failing_step_is_known_by_name_status_and_last_lines() {
        let mut watch = Watch::new(&Silent, Instant::now());
        for line in [START, FAILED] {
            watch.progress(line);
        }
        // The marker that follows on the console has less information and changes nothing.
        watch.console(b"STACK_CLOUD_INIT_FAILED");
        let failure = StepFailure {
            step: Some("30-database".into()),
            status: "exited with status 3".into(),
            tail: vec!["no space".into()],
        };
        assert_eq!(watch.state(), &State::Failed(failure));
    }

    #[test]
    fn a_guest_that_has_only_its_console_can_fail_too() {
        let mut watch = Watch::new(&Silent, Instant::now());
        watch.console(b"mount: no such device\r");
        watch.console(b"STACK_CLOUD_INIT_FAILED\r");
        let State::Failed(failure) = watch.state() else { panic!("{:?}", watch.state()) };
        assert_eq!((failure.step.as_deref(), failure.tail.len()), (None, 1));
    }

    #[test]
    fn silence_grows_until_the_next_sign_of_life() {
        let start = Instant::now();
        let mut watch = Watch::new(&Silent, start);
        let later = start + Duration::from_secs(30);
        assert_eq!(watch.silence(later), Duration::from_secs(30));
        watch.alive(later);
        assert_eq!(watch.silence(later), Duration::ZERO);
    }

    #[test]
    fn a_stray_line_is_shown_and_changes_nothing() {
        let record = Record::default();
        let mut watch = Watch::new(&record, Instant::now());
        watch.progress(b"Segmentation fault");
        assert_eq!(watch.state(), &State::Running);
        assert_eq!(record.0.lock().unwrap().last().unwrap(), "  not a progress message: Segmentation fault");
    }
}
