//! What `run` shows of a start where no one watches it: what takes long, and nothing of a fast resume.

use std::sync::Mutex;
use std::time::Duration;

use base::events::{Event, Reporter};

/// A phase that takes longer is shown.
const LONG: Duration = Duration::from_secs(2);

/// Phases that are shown however long they take: the boots, and the capture that every later start is spared.
const SHOWN: [&str; 4] = ["boot", "capture-boot", "prepare", "save"];

/// Passes on what should be read also where nothing but the command's own output is expected.
pub(super) struct LongPhases<'a> {
    next: &'a dyn Reporter,
    /// Notices since the first phase began, which explain what takes long: that the guest is emulated. Before that they say what is
    /// waited for.
    held: Mutex<Option<Vec<String>>>,
}

impl<'a> LongPhases<'a> {
    /// Passes on to `next`.
    pub(super) fn new(next: &'a dyn Reporter) -> Self {
        Self { next, held: Mutex::new(None) }
    }
}

impl Reporter for LongPhases<'_> {
    fn report(&self, event: &Event<'_>) {
        let mut held = self.held.lock().expect("no reporter panics");
        match (event, &mut *held) {
            (Event::Started { .. }, None) => *held = Some(Vec::new()),
            (Event::Notice(text), Some(held)) => held.push((*text).to_owned()),
            (Event::Ended { phase, elapsed, .. }, _) if *elapsed >= LONG || SHOWN.contains(phase) => {
                for text in held.iter_mut().flat_map(|held| held.drain(..)) {
                    self.next.report(&Event::Notice(&text));
                }
                self.next.report(event);
            }
            (Event::Notice(_) | Event::Warning(_), _) => self.next.report(event),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Shown(Mutex<Vec<String>>);

    impl Reporter for Shown {
        fn report(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(match event {
                Event::Ended { phase, .. } => (*phase).to_owned(),
                Event::Notice(text) | Event::Warning(text) => (*text).to_owned(),
                other => format!("{other:?}"),
            });
        }
    }

    #[test]
    fn a_fast_resume_is_silent_and_a_boot_is_not() {
        let shown = Shown::default();
        let phases = LongPhases::new(&shown);
        let report = |phase, ms| {
            phases.report(&Event::Started { phase, title: "Title" });
            phases.report(&Event::Detail { phase, text: "text" });
            let elapsed = Duration::from_millis(ms);
            phases.report(&Event::Ended { phase, title: "Title", elapsed, ok: true });
        };
        phases.report(&Event::Notice("waits"));
        assert_eq!(*shown.0.lock().unwrap(), ["waits"]);
        report("launch", 20);
        phases.report(&Event::Notice("slow"));
        report("load", 10);
        assert_eq!(*shown.0.lock().unwrap(), ["waits"]);
        report("boot", 900);
        report("launch", 2100);
        phases.report(&Event::Warning("warning"));
        assert_eq!(*shown.0.lock().unwrap(), ["waits", "slow", "boot", "launch", "warning"]);
    }
}
