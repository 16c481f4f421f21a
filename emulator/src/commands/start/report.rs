//! What `start` prints: what runs, of one instance or of several.

use std::time::Duration;

use base::console::seconds;
use base::events::Timing;
use instances::instance::start::Started;
use serde::Serialize;

use crate::commands::several::Outcome;
use crate::errors::ErrorView;
use crate::printer::table;
use crate::views::{InstanceView, MachineView, RunView, addresses};

/// The instance that was started.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct One<'a> {
    instance: &'a str,
    state: &'static str,
    already_running: bool,
    #[serde(flatten)]
    run: RunView<'a>,
    #[serde(flatten)]
    machine: MachineView<'a>,
    /// What the start was spent on, and in all; of the start that made it run, when it ran already.
    phases: &'a [Timing],
    seconds: Option<f64>,
}

/// Instances that were started together.
#[derive(Serialize)]
pub(super) struct Several<'a> {
    pub(super) instances: Vec<Part<'a>>,
}

/// One of them. All that is known of a machine is null where it was not started.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Part<'a> {
    instance: &'a str,
    state: Option<&'static str>,
    already_running: Option<bool>,
    #[serde(flatten)]
    run: RunView<'a>,
    #[serde(flatten)]
    machine: MachineView<'a>,
    phases: &'a [Timing],
    seconds: Option<f64>,
    /// Why it was not started.
    error: Option<&'a ErrorView>,
}

impl<'a> One<'a> {
    /// What came of the start of this instance.
    pub(super) fn of(instance: &'a str, started: &'a Started) -> Self {
        let Started { live, already_running, .. } = started;
        let InstanceView { run, machine } = InstanceView::of(Some(live));
        Self {
            instance,
            state: "running",
            already_running: *already_running,
            run,
            machine,
            phases: live.run.ready.as_ref().map_or(&[], |ready| &ready.phases),
            seconds: live.run.ready.as_ref().map(|ready| ready.seconds),
        }
    }

    /// For people.
    pub(super) fn people(&self) -> String {
        let head = match (self.already_running, self.seconds) {
            (false, Some(taken)) => {
                let accelerator =
                    self.machine.accelerator.map(|on| format!(" on `{on}`")).unwrap_or_default();
                format!("`{}` is ready{accelerator} ({})", self.instance, shown(taken))
            }
            _ => format!("`{}` is already running", self.instance),
        };
        format!("{head}\n{}", addresses(&self.machine.ports))
    }
}

impl<'a> Part<'a> {
    /// What came of this instance.
    pub(super) fn of(instance: &'a str, outcome: &'a Outcome<Started>) -> Self {
        match outcome {
            Ok(started) => {
                let One { instance, state, already_running, run, machine, phases, seconds } =
                    One::of(instance, started);
                let (state, already_running) = (Some(state), Some(already_running));
                Self { instance, state, already_running, run, machine, phases, seconds, error: None }
            }
            Err(error) => {
                let InstanceView { run, machine } = InstanceView::of(None);
                let (state, already_running, seconds) = (None, None, None);
                let error = Some(error);
                Self { instance, state, already_running, run, machine, phases: &[], seconds, error }
            }
        }
    }

    fn row(&self) -> [String; 4] {
        let state = match (self.already_running, self.seconds) {
            (None, _) => "failed".to_owned(),
            (Some(false), Some(taken)) => format!("ready ({})", shown(taken)),
            (Some(_), _) => "already running".to_owned(),
        };
        let ports = self.machine.ports.iter();
        let ports: Vec<_> = ports.map(|port| format!("{}={}", port.name, port.url)).collect();
        let accelerator = self.machine.accelerator.map_or_else(|| "-".to_owned(), |on| on.to_string());
        [self.instance.to_owned(), state, accelerator, ports.join(", ")]
    }
}

impl Several<'_> {
    /// For people.
    pub(super) fn people(&self) -> String {
        table(["INSTANCE", "STATE", "ACCELERATOR", "ADDRESSES"], self.instances.iter().map(Part::row))
    }
}

fn shown(taken: f64) -> String {
    seconds(Duration::try_from_secs_f64(taken).unwrap_or_default())
}
