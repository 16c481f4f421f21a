//! `emulator list`.

use std::path::Path;

use base::events::{Event, Reporter};
use clap::Args;
use image::arch::Arch;
use instances::instance::error::InstanceError;
use instances::instance::fresh;
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
Nothing is asked of the machines: `emulator status --instance NAME` says how the
services are. Ports of an instance that does not run are those that were chosen
for it with `--port` or are automatic. CPU is how busy its machine is now, in
percent of one processor, and since its start. MEMORY is what would be free
without it, of the size of the machine; what machines share is not part of it.
DISK is what its files really take; the image below them is in `emulator
images`.

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
    /// What would be free without the machine that runs.
    memory_used_bytes: Option<u64>,
    /// Processor time of the machine that runs, since its start.
    cpu_seconds: Option<f64>,
    /// How busy that machine is now, in percent of one processor.
    cpu_percent: Option<f64>,
    /// What its files take on the disk.
    disk_bytes: u64,
    #[serde(with = "time::serde::rfc3339::option")]
    created_at: Option<OffsetDateTime>,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    /// The directory that it belongs to.
    directory: Option<&'a Path>,
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
        // What cannot be deleted of a killed `run --fresh` is listed.
        let _ = fresh::sweep(&context.home).await;
        let summaries = Registry::new(&context.home).list().await.map_err(InstanceError::from)?;
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
        memory_used_bytes: summary.usage.map(|usage| usage.memory),
        cpu_seconds: summary.usage.map(|usage| usage.processor.as_secs_f64()),
        cpu_percent: summary.usage.map(|usage| usage.load * 100.0),
        disk_bytes: summary.disk_bytes,
        created_at: summary.created_at,
        started_at: summary.started_at,
        directory: summary.directory.as_deref(),
    }
}

/// A column of the table: its title, and what it shows of an instance.
type Column = (&'static str, fn(&View<'_>, OffsetDateTime) -> Option<String>);

const COLUMNS: [Column; 10] = [
    ("NAME", |it, _| Some(it.name.to_owned())),
    ("ARCH", |it, _| it.arch.map(|arch| arch.to_string())),
    ("STATE", |it, _| Some(it.state.to_owned())),
    ("PORTS", |it, _| ports(it)),
    ("CPU", |it, _| Some(format!("{:.0} % ({:.0} s)", it.cpu_percent?, it.cpu_seconds?))),
    ("MEMORY", |it, _| memory(it)),
    ("DISK", |it, _| Some(format!("{} MiB", it.disk_bytes >> 20))),
    ("AGE", |it, now| Some(age((now - it.created_at?).whole_seconds()))),
    (DIRECTORY, |it, _| Some(it.directory?.display().to_string())),
    (REASON, |it, _| Some(it.reasons.join("; "))),
];

/// Columns that are there only when an instance has something to show in it.
const DIRECTORY: &str = "DIRECTORY";
const REASON: &str = "REASON";

fn people(report: &Report<'_>, now: OffsetDateTime) -> String {
    let any = |has: fn(&View<'_>) -> bool| report.instances.iter().any(has);
    let is_shown = |(title, _): &&Column| match *title {
        DIRECTORY => any(|it| it.directory.is_some()),
        REASON => any(|it| !it.reasons.is_empty()),
        _ => true,
    };
    let columns: Vec<&Column> = COLUMNS.iter().filter(is_shown).collect();
    let row = |it: &View<'_>| {
        let cells = columns.iter().map(|(_, cell)| cell(it, now).unwrap_or_else(|| "-".to_owned()));
        cells.collect::<Vec<_>>()
    };
    table(columns.iter().map(|(title, _)| *title), report.instances.iter().map(row))
}

fn ports(it: &View<'_>) -> Option<String> {
    let ports: Vec<_> = it.ports.iter().map(|port| format!("{}={}", port.name, port.host)).collect();
    (!ports.is_empty()).then(|| ports.join(", "))
}

fn memory(it: &View<'_>) -> Option<String> {
    let size = format!("{} MiB", it.memory_mib?);
    Some(it.memory_used_bytes.map_or(size.clone(), |used| format!("{} of {size}", used >> 20)))
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
