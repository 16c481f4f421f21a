//! One machine that is killed, suspended and starved again and again. After each blow a plain `start` has to bring everything back:
//! every row that was answered to have been written, the clock, the attendant, and nothing that is left over.

mod blow;
mod check;
mod report;

use std::path::{Path, PathBuf};
use std::time::Duration;

use instances::home::HomeExt;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use self::blow::Blow;
use self::report::Report;
use crate::emulator::{Emulator, Started};
use crate::load::Load;
use crate::small_disk::SmallDisk;

/// Rows that are written before the blow falls, at most.
const ROWS: usize = 4;

/// Lets `cycles` blows fall, in an order that follows from `seed`, and gives a report of them. With `json`, every figure is written there
/// too, also when it fails.
///
/// # Panics
/// At the first loss, with what it was, in which cycle, and where the logs are.
pub async fn run(cycles: usize, seed: u64, json: Option<&Path>) -> String {
    let emulator = Emulator::for_amd64();
    let instances = emulator.home().home().instances();
    std::fs::create_dir(&instances).expect("the home is writable");
    // Room for the disk and, for a moment, for two saved memories.
    let image = emulator.home().scratch("disk.img");
    let disk = SmallDisk::ext4(&instances, &image, "1536M").await;
    let started = emulator.start(&[]).await;
    let (random, report, json) = (StdRng::seed_from_u64(seed), Report::new(seed), json.map(Path::to_owned));
    let mut soak = Soak { disk, emulator, started, random, rows: Vec::new(), report, json };
    let mut blows = Vec::new();
    for cycle in 0..cycles {
        if blows.is_empty() {
            blows = Blow::hundred(&mut soak.random);
        }
        soak.cycle(cycle, blows.pop().expect("a hundred are some")).await;
    }
    soak.emulator.finish().await;
    soak.emulator.assert_tidy().await;
    soak.report.to_string()
}

/// The machine, and what is known of it. The disk goes before the home that it is mounted in.
struct Soak {
    disk: SmallDisk,
    emulator: Emulator,
    started: Started,
    random: StdRng,
    /// The users that were answered to have been made in this session.
    rows: Vec<String>,
    report: Report,
    /// Where the report is written to.
    json: Option<PathBuf>,
}

impl Soak {
    async fn cycle(&mut self, cycle: usize, blow: Blow) {
        self.report.begin(cycle, blow);
        let load = Load::begin(&self.started, cycle);
        load.has_written(self.random.random_range(1..=ROWS)).await;
        let load = self.fall(blow, cycle, load).await;
        self.started = self.emulator.start(&[]).await;
        if blow == Blow::Suspend {
            assert_eq!(self.started.report["startedBy"], "suspended", "{}", self.started.said);
        }
        if let Some(load) = load {
            let written = load.stop().await;
            self.rows.extend(written);
        }
        let found = self.check().await;
        self.report.end(self.rows.len(), &found);
        assert!(found.is_nothing(), "{found:?} after {} rows", self.rows.len());
    }

    /// A moment of up to `limit`.
    async fn moment(&mut self, limit: Duration) {
        let part = self.random.random_range(0.0..1.0);
        tokio::time::sleep(limit.mul_f64(part)).await;
    }

    /// Copies the logs to where they outlive the home.
    fn keep_logs(&self) -> std::io::Result<PathBuf> {
        let kept = base::variables::temp_dir().join(format!("stack-emulator-soak-{}", self.report.seed()));
        std::fs::create_dir_all(&kept)?;
        for entry in std::fs::read_dir(self.emulator.dir().logs())? {
            let entry = entry?;
            std::fs::copy(entry.path(), kept.join(entry.file_name()))?;
        }
        Ok(kept)
    }
}

/// A panic is the end of the soak: what it leaves is kept, and the machine ends before its disk is unmounted.
impl Drop for Soak {
    fn drop(&mut self) {
        if std::thread::panicking() {
            match self.keep_logs() {
                Ok(dir) => self.report.failed(&format!("its logs are in `{}`", dir.display())),
                Err(error) => self.report.failed(&format!("its logs could not be kept: {error}")),
            }
        }
        if let Some(path) = &self.json {
            let written = self.report.write(path);
            assert!(written.is_ok() || std::thread::panicking(), "{}: {written:?}", path.display());
        }
        self.emulator.end_machine();
    }
}
