//! What `start` and `status` show alike.

use std::path::Path;

use image::arch::Arch;
use instances::instance::live::{Live, StartedBy};
use instances::ports::PublishedPort;
use serde::Serialize;
use vm::machine::Accelerator;

use crate::printer::properties;

/// How a machine came to run; all null when none runs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunView<'a> {
    pub(crate) started_by: Option<StartedBy>,
    /// Why it was booted, where it should have resumed from saved memory.
    pub(crate) cold_because: Option<&'a str>,
    /// Whether the services have secrets of this session, or the image's placeholders.
    pub(crate) rotated: Option<bool>,
}

/// A machine and where its services are found; all null or empty when none runs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct MachineView<'a> {
    pub(crate) arch: Option<Arch>,
    pub(crate) accelerator: Option<Accelerator>,
    pub(crate) accelerator_fallback: Option<&'a str>,
    pub(crate) cpus: Option<u32>,
    pub(crate) memory_mib: Option<u64>,
    pub(crate) image: Option<&'a Path>,
    pub(crate) pid: Option<i32>,
    pub(crate) ports: Vec<PortView<'a>>,
}

/// What runs, as programs read it. `start` and `status` print both parts, each with something of its own between them.
pub(crate) struct InstanceView<'a> {
    pub(crate) run: RunView<'a>,
    pub(crate) machine: MachineView<'a>,
}

impl<'a> InstanceView<'a> {
    /// Of what runs, if anything does.
    pub(crate) fn of(live: Option<&'a Live>) -> Self {
        let run = live.map(|live| &live.run);
        let machine = live.map(|live| &live.machine);
        let topology = live.map(Live::topology);
        Self {
            run: RunView {
                started_by: run.map(|run| run.started_by),
                cold_because: run.and_then(|run| run.cold_because.as_deref()),
                rotated: run.map(|run| run.rotated),
            },
            machine: MachineView {
                arch: topology.map(|topology| topology.arch),
                accelerator: topology.map(|topology| topology.accelerator),
                accelerator_fallback: machine.and_then(|machine| machine.fallback.as_deref()),
                cpus: topology.map(|topology| topology.cpus),
                memory_mib: topology.map(|topology| topology.memory_mib),
                image: machine.map(|machine| machine.image.as_path()),
                pid: machine.and_then(|machine| machine.process).map(|process| process.pid),
                ports: live.map_or_else(Vec::new, |live| port_views(&live.stack.ports)),
            },
        }
    }
}

/// A published port, as programs read it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PortView<'a> {
    pub(crate) name: &'a str,
    pub(crate) host: u16,
    pub(crate) guest: u16,
    pub(crate) url: String,
    pub(crate) health_url: Option<String>,
}

/// Every port of an instance.
fn port_views(ports: &[PublishedPort]) -> Vec<PortView<'_>> {
    let views = ports.iter().map(|port| PortView {
        name: &port.name,
        host: port.host,
        guest: port.guest,
        url: port.url(),
        health_url: port.health_url(),
    });
    views.collect()
}

/// Where the services are found, one a line.
pub(crate) fn addresses(ports: &[PortView<'_>]) -> String {
    properties(ports.iter().map(|port| (port.name, port.url.clone())))
}
