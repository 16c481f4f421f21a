//! The figures, as people read them.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};

use super::report::{Figures, Peer, Report};
use super::statistics::ratio;

/// Phases that a row has room for.
const PHASES: usize = 3;

/// Every figure but those of single runs.
pub(crate) fn all(report: &Report) -> String {
    let mut parts = vec![report.host.line(), seconds(report), sizes(report)];
    if !report.memory.is_empty() {
        parts.push(memory(report));
    }
    parts.extend(report.peers.iter().map(|peer| beside(report, peer)));
    parts.join("\n\n")
}

fn seconds(report: &Report) -> String {
    let rows = report.scenarios.iter().map(|(scenario, Figures { seconds, phases })| {
        let mut longest: Vec<_> = phases.iter().collect();
        longest.sort_by(|one, other| other.1.total_cmp(one.1));
        let longest =
            longest.into_iter().take(PHASES).map(|(name, &seconds)| format!("{name} {}", shown(seconds)));
        let longest = longest.collect::<Vec<_>>().join(", ");
        [scenario.to_string(), shown(seconds.median), shown(seconds.min), shown(seconds.max), longest]
    });
    table(["SCENARIO", "MEDIAN", "MIN", "MAX", "LONGEST PHASES"], 1..4, rows)
}

fn sizes(report: &Report) -> String {
    let rows = report.sizes.iter().map(|(name, &bytes)| [name.clone(), mib(bytes)]);
    table(["ON THE DISK", "SIZE"], 1..2, rows)
}

fn memory(report: &Report) -> String {
    let rows = report
        .memory
        .iter()
        .map(|(scenario, memory)| [scenario.to_string(), mib(memory.peak_rss), mib(memory.pss)]);
    table(["MEMORY OF QEMU", "PEAK RSS", "PSS"], 1..3, rows)
}

fn beside(report: &Report, peer: &Peer) -> String {
    let rows = report.scenarios.iter().filter_map(|(scenario, own)| {
        let [own, other] = [&own.seconds, &peer.scenarios.get(scenario)?.seconds];
        let ratio = format!("{:.3}", ratio(&own.runs, &other.runs)?);
        Some([scenario.to_string(), shown(own.median), shown(other.median), ratio])
    });
    let beside = format!("BESIDE {}", peer.name);
    table([&beside, "MEDIAN", "ITS MEDIAN", "RATIO"], 1..4, rows)
}

/// Plain columns two spaces apart; those with numbers end at one edge.
pub(super) fn table<const N: usize>(
    header: [&str; N],
    numbers: std::ops::Range<usize>,
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header).add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if numbers.contains(&index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.trim_fmt()
}

/// Milliseconds count here where it is quick.
pub(super) fn shown(seconds: f64) -> String {
    if seconds < 10.0 {
        format!("{seconds:.3} s")
    } else {
        base::console::seconds(Duration::from_secs_f64(seconds))
    }
}

pub(super) fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{sample, sample_beside_a_peer};
    use super::*;

    #[test]
    fn a_peer_has_a_table_of_its_own() {
        let text = all(&sample_beside_a_peer());
        insta::assert_snapshot!(text.split("\n\n").last().unwrap(), @"
        BESIDE /opt/emulator   MEDIAN  ITS MEDIAN  RATIO
        cold                   16.8 s      16.8 s  1.000
        template              0.420 s     0.420 s  1.000
        stop                  0.630 s     0.630 s  1.000
        ");
    }

    #[test]
    fn the_table_has_spreads_and_the_longest_phases() {
        insta::assert_snapshot!(all(&sample()), @"
        Example CPU 9000, 2 CPUs, 16 GiB, Debian GNU/Linux 13 (trixie), Linux 6.12.0, QEMU 10.2.2 with tcg

        SCENARIO   MEDIAN      MIN      MAX  LONGEST PHASES
        cold       16.8 s   16.0 s   20.0 s  load 8.200 s, launch 4.000 s, guest 1.200 s
        template  0.420 s  0.400 s  0.500 s  load 0.205 s, launch 0.100 s, guest 0.030 s
        stop      0.630 s  0.600 s  0.750 s  load 0.307 s, launch 0.150 s, guest 0.045 s

        ON THE DISK              SIZE
        image               155.0 MiB
        suspended_session  1024.0 MiB

        MEMORY OF QEMU   PEAK RSS        PSS
        cold            401.0 MiB  250.0 MiB
        template        401.0 MiB  250.0 MiB
        ");
    }
}
