//! The figures of a stack, for programs and for people. `docs/bench.md` documents every key.

use serde::Serialize;

use super::super::host_facts::HostFacts;
use super::super::statistics::{Spread, ratio};
use super::super::table::{shown, table};
use super::{Example, Measured};

/// Version of the report's JSON.
const SCHEMA_VERSION: u32 = 1;

/// How many times as long the programs without a machine are meant to take, at least.
const GAIN: f64 = 5.0;

/// Everything that was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    schema_version: u32,
    host: HostFacts,
    stack: &'static str,
    scenarios: Scenarios,
    /// How many times as long the programs without a machine take, medians over the rounds.
    times_sooner: Gains,
    wanted: Wanted,
}

#[derive(Debug, Serialize)]
struct Scenarios {
    /// A new session from the snapshot.
    template: Spread,
    /// A suspended session.
    suspended: Spread,
    /// The programs without a machine, with a new database.
    native: Spread,
}

#[derive(Debug, Serialize)]
struct Gains {
    template: f64,
    suspended: f64,
}

/// What a new session is meant to take.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    seconds: f64,
    times_sooner: f64,
    /// Whether it is so.
    met: bool,
}

impl Report {
    /// What was measured on this host; none if nothing was.
    pub(super) fn new(example: Example, host: HostFacts, measured: &Measured) -> Option<Self> {
        let Measured { session, suspended, native, .. } = measured;
        let template = Spread::of(session)?;
        let gains = Gains { template: ratio(native, session)?, suspended: ratio(native, suspended)? };
        let met = template.median <= example.limit() && gains.template >= GAIN;
        Some(Self {
            schema_version: SCHEMA_VERSION,
            host,
            stack: example.as_str(),
            scenarios: Scenarios { template, suspended: Spread::of(suspended)?, native: Spread::of(native)? },
            times_sooner: gains,
            wanted: Wanted { seconds: example.limit(), times_sooner: GAIN, met },
        })
    }

    /// The same, as people read it.
    pub(crate) fn table(&self) -> String {
        let Self { scenarios, times_sooner, wanted, .. } = self;
        let row = |name: &str, spread: &Spread, gain: Option<f64>| {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(shown);
            [
                name.to_owned(),
                median,
                min,
                max,
                gain.map_or_else(|| "-".to_owned(), |gain| format!("{gain:.1}")),
            ]
        };
        let rows = [
            row("template", &scenarios.template, Some(times_sooner.template)),
            row("suspended", &scenarios.suspended, Some(times_sooner.suspended)),
            row("native", &scenarios.native, None),
        ];
        let stack = format!("STACK {}", self.stack);
        let figures = table([stack.as_str(), "MEDIAN", "MIN", "MAX", "TIMES SOONER"], 1..5, rows);
        let verdict = format!(
            "wanted of `template`: at most {}, at least {:.1} times sooner: {}",
            shown(wanted.seconds),
            wanted.times_sooner,
            if wanted.met { "met" } else { "not met" }
        );
        [self.host.line(), figures, verdict].join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::host_facts::tests::sample as host;
    use super::*;

    fn report(session: [f64; 2]) -> Report {
        let measured = Measured {
            accelerator: None,
            session: session.into(),
            suspended: vec![0.2, 0.25],
            native: vec![3.0, 4.0],
        };
        Report::new(Example::Miniflux, host(), &measured).unwrap()
    }

    #[test]
    fn the_table_has_every_scenario_and_how_much_sooner_it_is() {
        insta::assert_snapshot!(report([0.3, 0.32]).table(), @"
        Example CPU 9000, 2 CPUs, 16 GiB, Debian GNU/Linux 13 (trixie), Linux 6.12.0, QEMU 10.2.2 with tcg

        STACK miniflux   MEDIAN      MIN      MAX  TIMES SOONER
        template        0.310 s  0.300 s  0.320 s          11.2
        suspended       0.225 s  0.200 s  0.250 s          15.5
        native          3.500 s  3.000 s  4.000 s             -

        wanted of `template`: at most 0.350 s, at least 5.0 times sooner: met
        ");
    }

    #[test]
    fn a_session_that_takes_too_long_is_reported() {
        assert!(!report([0.4, 0.42]).wanted.met);
        assert!(report([0.4, 0.42]).table().ends_with("times sooner: not met"));
        let json = serde_json::to_value(report([0.3, 0.32])).unwrap();
        assert_eq!((&json["stack"], &json["wanted"]["met"]), (&"miniflux".into(), &true.into()));
        assert_eq!(json["scenarios"]["native"]["runs"], serde_json::json!([3.0, 4.0]));
    }
}
