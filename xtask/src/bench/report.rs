//! The figures, as programs read them. `docs/bench.md` documents every key.

use std::collections::BTreeMap;

use serde::Serialize;

use super::host_facts::HostFacts;
use super::memory_use::MemoryUse;
use super::rounds::{Measured, Runs};
use super::scenario::Scenario;
use super::sizes::Sizes;
use super::statistics::{Spread, median, median_count, rounded};

/// Version of the report's JSON.
const SCHEMA_VERSION: u32 = 1;

/// Everything that was measured.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    schema_version: u32,
    pub(crate) host: HostFacts,
    pub(crate) scenarios: BTreeMap<Scenario, Figures>,
    /// Allocated bytes on the disk.
    pub(crate) sizes: Sizes,
    /// Medians.
    pub(crate) memory: BTreeMap<Scenario, MemoryUse>,
    /// What others took that were measured in turns with this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) peers: Vec<Peer>,
}

/// Another program.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Peer {
    /// What it is called.
    pub(crate) name: String,
    pub(crate) scenarios: BTreeMap<Scenario, Figures>,
    /// Medians.
    pub(crate) memory: BTreeMap<Scenario, MemoryUse>,
}

/// One scenario.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) seconds: Spread,
    /// Median of each phase, in seconds.
    pub(crate) phases: BTreeMap<String, f64>,
}

impl Report {
    /// What was measured on this host, of this program and of others by their names.
    pub(crate) fn new(
        host: HostFacts,
        own: Measured,
        peers: impl IntoIterator<Item = (String, Measured)>,
    ) -> Self {
        let peer = |(name, measured): (String, Measured)| {
            let (scenarios, memory) = medians(&measured);
            Peer { name, scenarios, memory }
        };
        let (scenarios, memory) = medians(&own);
        let peers = peers.into_iter().map(peer).collect();
        Self { schema_version: SCHEMA_VERSION, host, scenarios, sizes: own.sizes, memory, peers }
    }
}

fn medians(measured: &Measured) -> (BTreeMap<Scenario, Figures>, BTreeMap<Scenario, MemoryUse>) {
    let runs = &measured.scenarios;
    let scenarios = runs.iter().filter_map(|(&scenario, runs)| Some((scenario, figures(runs)?)));
    let memory = runs.iter().filter_map(|(&scenario, runs)| Some((scenario, memory(runs)?)));
    (scenarios.collect(), memory.collect())
}

fn figures(runs: &Runs) -> Option<Figures> {
    let phase = |(name, seconds): (&String, &Vec<f64>)| Some((name.clone(), rounded(median(seconds)?)));
    let phases = runs.phases.iter().filter_map(phase).collect();
    Some(Figures { seconds: Spread::of(&runs.seconds)?, phases })
}

fn memory(runs: &Runs) -> Option<MemoryUse> {
    let median_of = |what: fn(&MemoryUse) -> u64| median_count(runs.memory.iter().map(what).collect());
    Some(MemoryUse { peak_rss: median_of(|memory| memory.peak_rss)?, pss: median_of(|memory| memory.pss)? })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::host_facts::tests::sample as host;
    use super::*;

    /// An invented report.
    pub(crate) fn sample() -> Report {
        Report::new(host(), measured(), [])
    }

    /// The same with a peer that takes as long.
    pub(crate) fn sample_beside_a_peer() -> Report {
        Report::new(host(), measured(), [("/opt/emulator".to_owned(), measured())])
    }

    fn measured() -> Measured {
        let runs = |factor: f64| Runs {
            seconds: [0.4, 0.5, 0.42].map(|seconds| seconds * factor).into(),
            phases: BTreeMap::from([
                ("load".into(), vec![0.21 * factor, 0.2 * factor]),
                ("launch".into(), vec![0.1 * factor]),
                ("guest".into(), vec![0.03 * factor]),
                ("disk".into(), vec![0.001 * factor]),
            ]),
            memory: vec![
                MemoryUse { peak_rss: 400 << 20, pss: 300 << 20 },
                MemoryUse { peak_rss: 402 << 20, pss: 200 << 20 },
            ],
        };
        let stop = Runs { memory: Vec::new(), ..runs(1.5) };
        let scenarios = BTreeMap::from([
            (Scenario::Stop, stop),
            (Scenario::Template, runs(1.0)),
            (Scenario::Cold, runs(40.0)),
        ]);
        let sizes = BTreeMap::from([("image".into(), 155 << 20), ("suspended_session".into(), 1 << 30)]);
        Measured { scenarios, sizes, accelerator: None }
    }

    #[test]
    fn peers_are_listed_with_figures_of_their_own() {
        assert!(serde_json::to_value(sample()).unwrap().get("peers").is_none());
        let json = serde_json::to_value(sample_beside_a_peer()).unwrap();
        assert_eq!(json["peers"][0]["name"], "/opt/emulator");
        assert_eq!(json["peers"][0]["scenarios"], json["scenarios"]);
        assert_eq!(json["peers"][0]["memory"], json["memory"]);
    }

    #[test]
    fn the_json_has_every_run_and_medians_of_everything_else() {
        let mut report = sample();
        report.scenarios.retain(|&scenario, _| scenario != Scenario::Cold);
        report.memory.retain(|&scenario, _| scenario != Scenario::Cold);
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
        {
          "schemaVersion": 1,
          "host": {
            "cpu": "Example CPU 9000",
            "cpus": 2,
            "memoryMib": 16000,
            "kernel": "6.12.0",
            "accelerator": "tcg",
            "qemu": "10.2.2",
            "os": "Debian GNU/Linux 13 (trixie)",
            "loadBefore": 0.1
          },
          "scenarios": {
            "template": {
              "seconds": {
                "median": 0.42,
                "min": 0.4,
                "max": 0.5,
                "runs": [
                  0.4,
                  0.5,
                  0.42
                ]
              },
              "phases": {
                "disk": 0.001,
                "guest": 0.03,
                "launch": 0.1,
                "load": 0.205
              }
            },
            "stop": {
              "seconds": {
                "median": 0.63,
                "min": 0.6,
                "max": 0.75,
                "runs": [
                  0.6,
                  0.75,
                  0.63
                ]
              },
              "phases": {
                "disk": 0.0015,
                "guest": 0.045,
                "launch": 0.15,
                "load": 0.3075
              }
            }
          },
          "sizes": {
            "image": 162529280,
            "suspended_session": 1073741824
          },
          "memory": {
            "template": {
              "peakRss": 420478976,
              "pss": 262144000
            }
          }
        }
        "#);
    }
}
