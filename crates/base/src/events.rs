//! Phase events: how libraries say what they are doing without printing.
//!
//! A library reports to a [`Reporter`]; a terminal, a plain log and JSON timings are consumers.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What the numbers of a progress event count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Bytes, shown as KiB, MiB or GiB.
    Bytes,
    /// Steps, files, compiler calls.
    Steps,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A phase began.
    Started {
        /// Short stable name, kebab-case; key of the timings in JSON.
        phase: &'a str,
        /// What people read: "Compile QEMU".
        title: &'a str,
    },
    /// A phase got further.
    Progress {
        /// Name of the running phase.
        phase: &'a str,
        /// How far it is.
        done: u64,
        /// Where it ends, when that is known.
        total: Option<u64>,
        /// What is counted.
        unit: Unit,
    },
    /// Detail of a running phase: shown on the bar or under `--verbose`, never alone on a plain log.
    Detail {
        /// Name of the running phase.
        phase: &'a str,
        /// One line.
        text: &'a str,
    },
    /// A phase ended.
    Ended {
        /// Name of the phase.
        phase: &'a str,
        /// What people read.
        title: &'a str,
        /// How long it took.
        elapsed: Duration,
        /// Whether it did its job.
        ok: bool,
    },
    /// Something people should know but need not act on.
    Notice(&'a str),
    /// Something people should act on.
    Warning(&'a str),
}

/// Consumer of events.
pub trait Reporter: Send + Sync {
    /// Takes one event. Must not block for long: it runs inside the work it reports on.
    fn report(&self, event: &Event<'_>);
}

/// Drops every event.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn report(&self, _: &Event<'_>) {}
}

/// A running phase. Ended with [`Phase::done`]; dropped without it, the phase has failed.
pub struct Phase<'a> {
    reporter: &'a dyn Reporter,
    name: String,
    title: String,
    start: Instant,
    ended: bool,
}

impl<'a> Phase<'a> {
    /// Reports the start of a phase.
    pub fn start(reporter: &'a dyn Reporter, name: &str, title: &str) -> Self {
        reporter.report(&Event::Started { phase: name, title });
        Self { reporter, name: name.to_owned(), title: title.to_owned(), start: Instant::now(), ended: false }
    }

    /// Reports how far the phase is.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: Unit) {
        self.reporter.report(&Event::Progress { phase: &self.name, done, total, unit });
    }

    /// Reports one line of detail.
    pub fn detail(&self, text: &str) {
        self.reporter.report(&Event::Detail { phase: &self.name, text });
    }

    /// Reports something that people should know.
    pub fn notice(&self, text: &str) {
        self.reporter.report(&Event::Notice(text));
    }

    /// Reports success and returns the time taken.
    pub fn done(mut self) -> Duration {
        self.end(true)
    }

    fn end(&mut self, ok: bool) -> Duration {
        self.ended = true;
        let elapsed = self.start.elapsed();
        self.reporter.report(&Event::Ended { phase: &self.name, title: &self.title, elapsed, ok });
        elapsed
    }
}

impl Drop for Phase<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.end(false);
        }
    }
}

/// How long one phase took.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timing {
    /// Name of the phase.
    pub phase: String,
    /// Wall time in seconds.
    pub seconds: f64,
}

/// Collects the timings of successful phases and passes every event on.
pub struct Timings<'a> {
    next: &'a dyn Reporter,
    taken: Mutex<Vec<Timing>>,
}

impl<'a> Timings<'a> {
    /// A collector in front of `next`.
    pub fn new(next: &'a dyn Reporter) -> Self {
        Self { next, taken: Mutex::new(Vec::new()) }
    }

    /// The timings so far, in the order in which the phases ended.
    ///
    /// # Panics
    /// When another thread panicked while it reported.
    pub fn taken(&self) -> Vec<Timing> {
        self.taken.lock().expect("no reporter panics").clone()
    }
}

impl Reporter for Timings<'_> {
    fn report(&self, event: &Event<'_>) {
        if let Event::Ended { phase, elapsed, ok: true, .. } = event {
            let timing = Timing { phase: (*phase).to_owned(), seconds: elapsed.as_secs_f64() };
            self.taken.lock().expect("no reporter panics").push(timing);
        }
        self.next.report(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Record(Mutex<Vec<String>>);

    impl Reporter for Record {
        fn report(&self, event: &Event<'_>) {
            let line = match event {
                Event::Started { phase, .. } => format!("start {phase}"),
                Event::Ended { phase, ok, .. } => format!("end {phase} {ok}"),
                other => format!("{other:?}"),
            };
            self.0.lock().unwrap().push(line);
        }
    }

    #[test]
    fn a_phase_that_is_dropped_has_failed() {
        let record = Record::default();
        let timings = Timings::new(&record);
        Phase::start(&timings, "good", "Good").done();
        drop(Phase::start(&timings, "bad", "Bad"));
        assert_eq!(*record.0.lock().unwrap(), ["start good", "end good true", "start bad", "end bad false"]);
        let phases: Vec<_> = timings.taken().into_iter().map(|timing| timing.phase).collect();
        assert_eq!(phases, ["good"]);
    }
}
