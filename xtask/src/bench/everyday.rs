//! The commands of a working day: what each takes as a whole process, beside one machine or beside many instances, with this program and
//! others, in turns.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use base::events::{Phase, Reporter, Unit};
use instances::instance::registry::Registry;
use instances::name::InstanceName;
use serde::Serialize;
use vm::machine::Accelerator;

use super::contestant::{Contestant, capture_each, whose_turn};
use super::emulator::{Timed, settle, time_program};
use super::host_facts::HostFacts;
use super::scenario::TEMPLATE;
use super::statistics::{Spread, median, rounded};
use super::table::{shown, table};

/// Version of the report's JSON.
const SCHEMA_VERSION: u32 = 1;

/// How many machines are started at once, or one after the other.
const FEW: usize = 4;

/// How many instances there are while `env`, `list` and `status` are measured.
const MANY: usize = 20;

/// The prefix of the machines that one command starts.
const PREFIX: &str = "shard";

/// What is timed, in the order in which people read it. The names are an interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Everyday {
    /// `true`, without `emulator`: what any process costs.
    True,
    /// `run -- true` beside a running machine.
    Run,
    /// The same without what `true` took in the same round.
    RunBeyondTrue,
    /// `run --fresh -- true`, until nothing is left of its machine.
    RunFresh,
    /// `exec -- true`, the first one in a machine.
    ExecFirst,
    /// `exec -- true`, a later one.
    Exec,
    /// `env` with [`MANY`] instances.
    Env,
    /// `list` with as many.
    List,
    /// `status` with as many.
    Status,
    /// `start --count 4`.
    Count,
    /// Four `start`s, one right after the other.
    Starts,
}

impl Everyday {
    const fn as_str(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Run => "run",
            Self::RunBeyondTrue => "run_beyond_true",
            Self::RunFresh => "run_fresh",
            Self::ExecFirst => "exec_first",
            Self::Exec => "exec",
            Self::Env => "env",
            Self::List => "list",
            Self::Status => "status",
            Self::Count => "count",
            Self::Starts => "starts",
        }
    }
}

/// Every run of everything, in seconds.
type Runs = BTreeMap<Everyday, Vec<f64>>;

/// A measurement of programs, which take turns.
pub(crate) struct EverydayBench<'a> {
    /// Each of them. Those that lack the commands take part in [`Everyday::Starts`] only.
    pub(crate) contestants: &'a [Contestant<'a>],
    /// How many rounds there are.
    pub(crate) count: usize,
    /// Where progress is reported.
    pub(crate) console: &'a dyn Reporter,
}

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    /// What ran the guests.
    pub(crate) accelerator: Option<Accelerator>,
    runs: Vec<Runs>,
}

/// The figures, as programs read them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    schema_version: u32,
    host: HostFacts,
    programs: Vec<Program>,
}

#[derive(Debug, Serialize)]
struct Program {
    name: String,
    scenarios: BTreeMap<Everyday, Spread>,
}

impl EverydayBench<'_> {
    /// Measures everything.
    ///
    /// # Errors
    /// When a command fails, or leaves something behind that it should have removed.
    pub(crate) async fn measure(&self) -> anyhow::Result<Measured> {
        capture_each(self.contestants, self.console).await?;
        let programs = self.contestants.len();
        let mut measured = Measured { runs: vec![Runs::new(); programs], ..Measured::default() };
        let phase = Phase::start(self.console, "bench-rounds", "Measure");
        // The first round reads every file once, and is not counted.
        for turn in 0..(self.count + 1) * programs {
            phase.progress(turn as u64, Some(((self.count + 1) * programs) as u64), Unit::Steps);
            let index = whose_turn(turn, programs);
            let contestant = &self.contestants[index];
            phase.detail(&contestant.name);
            let (runs, accelerator) =
                contestant.everyday().await.map_err(|error| contestant.explain(error))?;
            measured.accelerator = measured.accelerator.or(accelerator);
            if turn >= programs {
                for (what, seconds) in runs {
                    measured.runs[index].entry(what).or_default().push(seconds);
                }
            }
        }
        phase.done();
        for (contestant, runs) in self.contestants.iter().zip(&mut measured.runs) {
            let phase = Phase::start(self.console, "bench-many", "Measure beside many instances");
            phase.detail(&contestant.name);
            let many = contestant.beside_many(self.count).await;
            runs.append(&mut many.map_err(|error| contestant.explain(error))?);
            phase.done();
        }
        Ok(measured)
    }

    /// The figures of what was `measured`.
    pub(crate) fn report(&self, host: HostFacts, measured: &Measured) -> Report {
        let programs = self.contestants.iter().zip(&measured.runs).map(|(contestant, runs)| {
            let spread = |(&what, runs): (&Everyday, &Vec<f64>)| Some((what, Spread::of(runs)?));
            Program { name: contestant.name.clone(), scenarios: runs.iter().filter_map(spread).collect() }
        });
        Report { schema_version: SCHEMA_VERSION, host, programs: programs.collect() }
    }
}

impl Contestant<'_> {
    /// One round: everything but what is measured beside many instances.
    async fn everyday(&self) -> anyhow::Result<(Vec<(Everyday, f64)>, Option<Accelerator>)> {
        let mut runs = vec![(Everyday::Starts, self.starts().await?)];
        if !self.emulator.knows("run").await? {
            return Ok((runs, None));
        }
        runs.push((Everyday::Count, self.start_many(FEW).await?));
        self.end_all().await?;

        let Timed { answer, .. } = self.emulator.start(&TEMPLATE, self.manifest).await?;
        let alone = time_program("true").await?;
        let run = self.time("run -- true").await?;
        runs.extend([
            (Everyday::True, alone),
            (Everyday::Run, run),
            (Everyday::RunBeyondTrue, run - alone),
            (Everyday::ExecFirst, self.time("exec -- true").await?),
            (Everyday::Exec, self.time("exec -- true").await?),
        ]);
        self.end_all().await?;

        runs.push((Everyday::RunFresh, self.time("run --fresh -- true").await?));
        let left = Registry::new(self.emulator.home().home()).names()?;
        let kept = |name: &InstanceName| name.as_str().starts_with("run-");
        ensure!(!left.iter().any(kept), "`run --fresh` left an instance behind: {left:?}");
        Ok((runs, Some(answer.accelerator)))
    }

    /// `env`, `list` and `status`, `count` times each in turns, beside many instances: one runs, as the one that somebody works with, and
    /// the others are suspended. If all ran, two processors would be busy with them alone.
    async fn beside_many(&self, count: usize) -> anyhow::Result<Runs> {
        let mut runs = Runs::new();
        if !self.emulator.knows("run").await? {
            return Ok(runs);
        }
        self.start_many(MANY).await?;
        self.time("stop --all").await?;
        let of_first = format!("--instance {PREFIX}-1");
        self.time(&format!("{of_first} start")).await?;
        for _ in 0..count {
            let commands = [(Everyday::Env, "env"), (Everyday::List, "list"), (Everyday::Status, "status")];
            for (what, command) in commands {
                let seconds = self.time(&format!("{of_first} {command}")).await?;
                runs.entry(what).or_default().push(seconds);
            }
        }
        self.end_all().await?;
        Ok(runs)
    }

    /// How long as many starts take together, one right after the other: a machine that is ready has work left, which takes a processor
    /// from the next start as it does when one command starts all of them.
    async fn starts(&self) -> anyhow::Result<f64> {
        settle().await;
        let mut seconds = 0.0;
        for index in 1..=FEW {
            let start = format!("start --strategy template --instance one-{index} {}", self.free_ports());
            let timed = self.emulator.time_at_once(start.split_whitespace().map(str::to_owned)).await;
            seconds += timed.with_context(|| format!("measuring `{start}` failed"))?;
        }
        self.end_all().await?;
        Ok(seconds)
    }

    async fn start_many(&self, count: usize) -> anyhow::Result<f64> {
        self.time(&format!("start --strategy template --count {count} --instance {PREFIX}")).await
    }

    /// The flags that give a machine any free ports.
    fn free_ports(&self) -> String {
        let ports = self.manifest.stack.ports.iter();
        ports.map(|port| format!("--port {}=auto", port.name)).collect::<Vec<_>>().join(" ")
    }

    /// Ends every machine with its data. `reset` is known to all versions of the program.
    async fn end_all(&self) -> anyhow::Result<()> {
        for name in Registry::new(self.emulator.home().home()).names()? {
            self.time(&format!("reset --yes --instance {name}")).await?;
        }
        Ok(())
    }

    async fn time(&self, line: &str) -> anyhow::Result<f64> {
        let timed = self.emulator.time(line.split_whitespace().map(str::to_owned)).await;
        timed.with_context(|| format!("measuring `{line}` failed"))
    }
}

impl Report {
    /// The same, as people read it.
    pub(crate) fn table(&self) -> String {
        let rows = self.programs.iter().flat_map(|program| {
            program.scenarios.iter().map(|(what, spread)| {
                let [median, min, max] = [spread.median, spread.min, spread.max].map(shown);
                [program.name.clone(), what.as_str().to_owned(), median, min, max]
            })
        });
        let header = ["PROGRAM", "SCENARIO", "MEDIAN", "MIN", "MAX"];
        let table = table(header, 2..5, rows);
        [Some(self.host.line()), Some(table), self.gain()]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join("\n\n")
    }

    /// How many times sooner `start --count` is done than the starts of each program one after the other.
    fn gain(&self) -> Option<String> {
        let count = self.programs.first()?.scenarios.get(&Everyday::Count)?;
        let rows = self.programs.iter().filter_map(|program| {
            let starts = program.scenarios.get(&Everyday::Starts)?;
            let rounds: Vec<f64> = starts.runs.iter().zip(&count.runs).map(|(all, one)| all / one).collect();
            Some([program.name.clone(), format!("{:.2}", rounded(median(&rounds)?))])
        });
        Some(table(["`start --count` BESIDE SINGLE STARTS OF", "TIMES SOONER"], 1..2, rows))
    }
}

#[cfg(test)]
mod tests {
    use super::super::host_facts::tests::sample as host;
    use super::*;

    #[test]
    fn the_table_has_every_scenario_and_what_one_command_gains() {
        let program = |name: &str, scenarios: &[(Everyday, f64)]| Program {
            name: name.to_owned(),
            scenarios: scenarios
                .iter()
                .map(|(what, seconds)| (*what, Spread::of(&[*seconds, seconds * 1.1]).unwrap()))
                .collect(),
        };
        let own = [(Everyday::True, 0.001), (Everyday::Count, 0.6), (Everyday::Starts, 1.0)];
        let programs =
            vec![program("this checkout", &own), program("/opt/emulator", &[(Everyday::Starts, 1.2)])];
        let report = Report { schema_version: SCHEMA_VERSION, host: host(), programs };
        insta::assert_snapshot!(report.table(), @"
        Example CPU 9000, 2 CPUs, 16 GiB, Debian GNU/Linux 13 (trixie), Linux 6.12.0, QEMU 10.2.2 with tcg

        PROGRAM        SCENARIO   MEDIAN      MIN      MAX
        this checkout  true      0.001 s  0.001 s  0.001 s
        this checkout  count     0.630 s  0.600 s  0.660 s
        this checkout  starts    1.050 s  1.000 s  1.100 s
        /opt/emulator  starts    1.260 s  1.200 s  1.320 s

        `start --count` BESIDE SINGLE STARTS OF  TIMES SOONER
        this checkout                                    1.67
        /opt/emulator                                    2.00
        ");
    }
}
