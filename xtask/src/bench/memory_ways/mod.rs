//! Ways to hold a guest's memory, compared below the program: how soon a machine resumes, what it costs to save it again, and what
//! the disk has to do meanwhile. `docs/snapshots.md` has the figures.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use base::events::{Event, Phase, Reporter, Unit};

use super::statistics::{Spread, median_count};
use super::table::{mib, shown, table};

mod filling;
mod machine;

use machine::Sample;
pub(crate) use machine::Source;

/// What people should know about one of the figures.
const WRITTEN_BACK: &str = "`written back` is what the whole system wrote to its disks while a guest was idle, other programs' share too";

/// What holds the memory of a machine that is resumed from a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A private map of the snapshot's file, whose pages are read when they are touched; read out of QEMU and stored to a sparse
    /// file. The product's.
    Private,
    /// The same, all of it saved by QEMU: what the product does where a process must not read another.
    PrivateByQemu,
    /// A file in the host's memory, filled from the snapshot's while QEMU starts; stored to a sparse file.
    Filled,
    /// A copy of the snapshot's file on the disk, mapped shared: it is what is kept, once it is synced.
    OnDisk,
}

impl Way {
    const ALL: [Self; 4] = [Self::Private, Self::PrivateByQemu, Self::Filled, Self::OnDisk];

    const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private map of the file",
            Self::PrivateByQemu => "the same, kept by QEMU",
            Self::Filled => "file in memory, filled",
            Self::OnDisk => "shared map of a copy",
        }
    }
}

/// A comparison.
pub(crate) struct Comparison<'a> {
    /// What the machines are resumed from.
    pub(crate) source: Source<'a>,
    /// How often each way is measured.
    pub(crate) count: usize,
    /// How long each machine runs before it is kept, for what is written back meanwhile.
    pub(crate) idle: Option<Duration>,
    /// Where progress is reported.
    pub(crate) console: &'a dyn Reporter,
}

impl Comparison<'_> {
    /// Measures every way, in an order that is another in each round, and returns a table.
    ///
    /// # Errors
    /// When a machine does not resume or cannot be saved. Nothing is left running.
    pub(crate) async fn table(&self) -> anyhow::Result<String> {
        let mut samples = BTreeMap::<Way, Vec<Sample>>::new();
        // The first round is not counted: the files have to be read from the disk in it.
        for round in 0..=self.count {
            let phase =
                Phase::start(self.console, "bench-memory", &format!("Round {round} of {}", self.count));
            let mut ways = Way::ALL;
            ways.rotate_left(round % Way::ALL.len());
            for (done, way) in (0_u64..).zip(ways) {
                phase.progress(done, Some(Way::ALL.len() as u64), Unit::Steps);
                phase.detail(way.as_str());
                let sample = self.source.run(way, self.idle.filter(|_| round > 0)).await;
                let sample = sample.with_context(|| format!("cannot measure `{}`", way.as_str()))?;
                if round > 0 {
                    samples.entry(way).or_default().push(sample);
                }
            }
            phase.done();
        }
        if self.idle.is_some() {
            self.console.report(&Event::Notice(WRITTEN_BACK));
        }
        Ok(rendered(&samples))
    }
}

fn rendered(samples: &BTreeMap<Way, Vec<Sample>>) -> String {
    let spread = |samples: &[Sample], what: fn(&Sample) -> f64| {
        let seconds: Vec<f64> = samples.iter().map(what).collect();
        let text = |spread: Spread| {
            format!("{} ({} to {})", shown(spread.median), shown(spread.min), shown(spread.max))
        };
        Spread::of(&seconds).map_or_else(String::new, text)
    };
    let rows = samples.iter().map(|(way, samples)| {
        let bytes = median_count(samples.iter().map(|sample| sample.bytes).collect());
        let written = median_count(samples.iter().filter_map(|sample| sample.written_back).collect());
        [
            way.as_str().to_owned(),
            spread(samples, |sample| sample.resume),
            spread(samples, |sample| sample.answer),
            spread(samples, |sample| sample.save),
            bytes.map_or_else(String::new, mib),
            written.map_or_else(|| "not measured".to_owned(), |bytes| format!("{} KiB", bytes >> 10)),
        ]
    });
    table(["MEMORY", "RESUMES", "GUEST ANSWERS", "KEPT", "ON THE DISK", "WRITTEN BACK"], 1..6, rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_every_way() {
        let sample =
            Sample { resume: 0.2, answer: 0.25, save: 0.3, bytes: 300 << 20, written_back: Some(5 << 20) };
        let slower = Sample { resume: 0.4, written_back: None, ..sample };
        let samples = BTreeMap::from([(Way::Filled, vec![sample, slower]), (Way::OnDisk, vec![slower])]);
        insta::assert_snapshot!(rendered(&samples), @"
        MEMORY                                       RESUMES                 GUEST ANSWERS                          KEPT  ON THE DISK  WRITTEN BACK
        file in memory, filled  0.300 s (0.200 s to 0.400 s)  0.250 s (0.250 s to 0.250 s)  0.300 s (0.300 s to 0.300 s)    300.0 MiB      5120 KiB
        shared map of a copy    0.400 s (0.400 s to 0.400 s)  0.250 s (0.250 s to 0.250 s)  0.300 s (0.300 s to 0.300 s)    300.0 MiB  not measured
        ");
    }
}
