//! What `run` shows of a start where no one watches it: what takes long, and nothing of a fast resume.

use std::time::Duration;

use base::events::{Event, Reporter};

/// A phase that takes longer is shown.
const LONG: Duration = Duration::from_secs(2);

/// Phases that are shown however long they take: the boots, and the capture that every later start is spared.
const SHOWN: [&str; 4] = ["boot", "capture-boot", "prepare", "save"];

/// Passes on what should be read also where nothing but the command's own output is expected.
pub(super) struct LongPhases<'a>(pub(super) &'a dyn Reporter);

impl Reporter for LongPhases<'_> {
    fn report(&self, event: &Event<'_>) {
        let shown = match event {
            Event::Ended { phase, elapsed, .. } => *elapsed >= LONG || SHOWN.contains(phase),
            Event::Notice(_) | Event::Warning(_) => true,
            Event::Started { .. } | Event::Progress { .. } | Event::Detail { .. } => false,
        };
        if shown {
            self.0.report(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

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
        let phases = LongPhases(&shown);
        let report = |phase, ms| {
            phases.report(&Event::Started { phase, title: "Title" });
            phases.report(&Event::Detail { phase, text: "text" });
            let elapsed = Duration::from_millis(ms);
            phases.report(&Event::Ended { phase, title: "Title", elapsed, ok: true });
        };
        report("launch", 20);
        report("load", 10);
        assert!(shown.0.lock().unwrap().is_empty());
        report("boot", 900);
        report("launch", 2100);
        phases.report(&Event::Notice("notice"));
        assert_eq!(*shown.0.lock().unwrap(), ["boot", "launch", "notice"]);
    }
}
