//! `emulator list`.

use base::events::{Event, Reporter};
use clap::Args;
use image::arch::Arch;
use instances::instance::error::InstanceError;
use instances::registry::{Registry, Summary};
use serde::Serialize;
use time::OffsetDateTime;

use super::Run;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::printer::table;

/// Show all instances
#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is asked of the machines: `emulator status --instance NAME` says how the services are.
Ports of an instance that does not run are those that were chosen for it with `--port`. The disk
space is what its files really take; the image below them is in `emulator images`.

Examples:
  emulator list
  emulator list -o json                 sizes in bytes, times in UTC")]
pub(crate) struct List {}

#[derive(Serialize)]
struct Report<'a> {
    instances: Vec<View<'a>>,
}

/// An instance; what no record says is null.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct View<'a> {
    name: &'a str,
    arch: Option<Arch>,
    state: &'static str,
    reasons: &'a [String],
    ports: Vec<Port<'a>>,
    /// Of the machine that runs or is suspended.
    memory_mib: Option<u64>,
    /// What its files take on the disk.
    disk_bytes: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
}

/// A host port: all of a machine that runs, and else those that were chosen by flag.
#[derive(Serialize)]
struct Port<'a> {
    name: &'a str,
    host: u16,
}

impl Run for List {
    const HOME_USE: HomeUse = HomeUse::Looks;

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let summaries = Registry::new(&context.home).list().map_err(InstanceError::from)?;
        if summaries.is_empty() {
            context.console.report(&Event::Notice("there is no instance: `emulator start` makes one"));
        }
        let report = Report { instances: summaries.iter().map(view).collect() };
        let now = OffsetDateTime::now_utc();
        context.printer.print(&report, |report| people(report, now)).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn view(summary: &Summary) -> View<'_> {
    View {
        name: summary.name.as_str(),
        arch: summary.arch,
        state: summary.state,
        reasons: &summary.reasons,
        ports: summary.ports.iter().map(|(name, host)| Port { name, host: *host }).collect(),
        memory_mib: summary.memory_mib,
        disk_bytes: summary.disk_bytes,
        created_at: summary.created_at,
        started_at: summary.started_at,
    }
}

fn people(report: &Report<'_>, now: OffsetDateTime) -> String {
    let rows = report.instances.iter().map(|it| row(it, now));
    let header = ["NAME", "ARCH", "STATE", "PORTS", "MEMORY", "DISK", "AGE"];
    if report.instances.iter().all(|it| it.reasons.is_empty()) {
        return table(header, rows);
    }
    let reasons = report.instances.iter().map(|it| it.reasons.join("; "));
    let rows = rows.zip(reasons).map(|([name, arch, state, ports, memory, disk, age], reason)| {
        [name, arch, state, ports, memory, disk, age, reason]
    });
    let [name, arch, state, ports, memory, disk, age] = header;
    table([name, arch, state, ports, memory, disk, age, "REASON"], rows)
}

fn row(it: &View<'_>, now: OffsetDateTime) -> [String; 7] {
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    let ports: Vec<_> = it.ports.iter().map(|port| format!("{}={}", port.name, port.host)).collect();
    [
        it.name.to_owned(),
        or_dash(it.arch.map(|arch| arch.to_string())),
        it.state.to_owned(),
        or_dash((!ports.is_empty()).then(|| ports.join(", "))),
        or_dash(it.memory_mib.map(|mib| format!("{mib} MiB"))),
        format!("{} MiB", it.disk_bytes >> 20),
        or_dash(it.created_at.map(|at| age((now - at).whole_seconds()))),
    ]
}

/// How long ago it was, in the largest unit of which there are at least two. A clock that was set back counts as now.
fn age(seconds: i64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (2.., ..) => format!("{days} d"),
        (_, 2.., _) => format!("{hours} h"),
        (_, _, 2..) => format!("{minutes} min"),
        _ => format!("{} s", seconds.max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_the_largest_unit_of_which_there_are_two() {
        let shown = [-5, 0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(age);
        assert_eq!(shown, ["0 s", "0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 d"]);
    }
}
