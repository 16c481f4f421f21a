//! What has happened so far, as people and programs read it.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::blow::Blow;
use super::check::Found;

/// The cycles so far, and the current one.
pub(super) struct Report {
    seed: u64,
    begun: Instant,
    /// The current cycle, and since when.
    current: Option<(usize, Blow, Instant)>,
    /// How often each has fallen, and the seconds after which all was well again, together.
    done: BTreeMap<Blow, (usize, f64)>,
    losses: usize,
    left_overs: usize,
    /// What ended it before its time.
    failed: Option<String>,
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        let done = BTreeMap::new();
        Self { seed, begun: Instant::now(), current: None, done, losses: 0, left_overs: 0, failed: None }
    }

    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    pub(super) fn begin(&mut self, cycle: usize, blow: Blow) {
        self.current = Some((cycle, blow, Instant::now()));
    }

    /// Records what the check after the current cycle has `found`, among so many `rows`. The cycle is over if that is nothing.
    pub(super) fn end(&mut self, rows: usize, found: &Found) {
        self.losses += found.lost.len();
        self.left_overs += found.left_over.len();
        if !found.is_nothing() {
            return;
        }
        let Some((cycle, blow, begun)) = self.current.take() else { return };
        let seconds = begun.elapsed().as_secs_f64();
        let (count, sum) = self.done.entry(blow).or_default();
        *count += 1;
        *sum += seconds;
        say(&format!("{:>5}  {:<18}  {seconds:>5.1} s  {rows} rows", cycle + 1, blow.as_str()));
    }

    /// Records that the current cycle has failed.
    pub(super) fn failed(&mut self, evidence: &str) {
        let cycle = self.current.map_or_else(
            || "outside of a cycle".to_owned(),
            |(cycle, blow, _)| format!("in cycle {} ({})", cycle + 1, blow.as_str()),
        );
        self.failed = Some(format!("failed {cycle}; {evidence}"));
        say(&self.to_string());
    }

    /// Writes every figure as JSON.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        std::fs::write(path, format!("{:#}\n", self.json()))
    }

    fn json(&self) -> Value {
        let kinds: serde_json::Map<_, _> = self
            .done
            .iter()
            .map(|(blow, (cycles, seconds))| {
                (blow.as_str().to_owned(), json!({ "cycles": cycles, "seconds": seconds }))
            })
            .collect();
        json!({
            "schemaVersion": 1,
            "seed": self.seed,
            "cycles": self.cycles(),
            "seconds": self.begun.elapsed().as_secs_f64(),
            "losses": self.losses,
            "leftOvers": self.left_overs,
            "failed": self.failed,
            "kinds": kinds,
        })
    }

    fn cycles(&self) -> usize {
        self.done.values().map(|(count, _)| count).sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cycles, seconds) = (self.cycles(), self.begun.elapsed().as_secs_f64());
        writeln!(f, "seed {}: {cycles} cycles in {seconds:.0} s", self.seed)?;
        writeln!(f, "losses: {}, left-overs: {}", self.losses, self.left_overs)?;
        for (blow, (count, sum)) in &self.done {
            writeln!(f, "{count:>5}  {:<18}  {:>5.1} s each", blow.as_str(), sum / *count as f64)?;
        }
        self.failed.as_ref().map_or(Ok(()), |failed| writeln!(f, "{failed}"))
    }
}

/// A test's runner shows stderr. What cannot be written there is not worth a failure.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_is_counted_and_its_cycle_is_not_done() {
        let mut report = Report::new(7);
        report.begin(0, Blow::Suspend);
        report.end(3, &Found::default());
        report.begin(1, Blow::KillQemu);
        report.end(3, &Found { lost: vec!["one".to_owned()], ..Found::default() });
        report.failed("its logs are kept");
        let json = report.json();
        assert_eq!((&json["cycles"], &json["losses"], &json["leftOvers"]), (&json!(1), &json!(1), &json!(0)));
        assert_eq!(json["kinds"]["suspend"]["cycles"], 1);
        assert_eq!(json["failed"], "failed in cycle 2 (kill-qemu); its logs are kept");
        assert!(report.to_string().contains("losses: 1, left-overs: 0"));
    }
}
