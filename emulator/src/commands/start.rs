//! `emulator start`.

use host::console::seconds;
use host::events::Timing;
use release::arch::Arch;
use serde::Serialize;
use std::time::Duration;
use vm::accel::Accelerator;
use vm::instance::live::StartedBy;
use vm::instance::start::{StartOptions, Started};

use crate::cli::Start;
use crate::context::Context;
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::views::{PortView, addresses, port_views};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    state: &'static str,
    already_running: bool,
    started_by: StartedBy,
    arch: Arch,
    accelerator: Accelerator,
    accelerator_fallback: Option<&'a str>,
    cpus: u32,
    memory_mib: u64,
    image: &'a std::path::Path,
    pid: Option<i32>,
    ports: Vec<PortView<'a>>,
    /// What the start was spent on, and in all; of the start that made it run, when it ran already.
    phases: &'a [Timing],
    seconds: Option<f64>,
}

impl Start {
    /// Starts the instance and says where it is found.
    pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        let options = StartOptions {
            accel: self.accel,
            arch: self.arch,
            cpus: self.cpus,
            memory_mib: self.memory,
            image: self.image.clone(),
            ports: self.ports.clone(),
            variable: &|name| std::env::var(name).ok(),
            timeout: self.timeout,
        };
        let Started { live, already_running } = context.instance().start(&options, context.console).await?;
        let report = Report {
            instance: context.name.as_str(),
            state: "running",
            already_running,
            started_by: live.started_by,
            arch: live.arch,
            accelerator: live.accelerator,
            accelerator_fallback: live.fallback.as_deref(),
            cpus: live.cpus,
            memory_mib: live.memory_mib,
            image: &live.image,
            pid: live.process.map(|process| process.pid),
            ports: port_views(&live.ports),
            phases: live.ready.as_ref().map_or(&[], |ready| &ready.phases),
            seconds: live.ready.as_ref().map(|ready| ready.seconds),
        };
        context.printer.print(&report, people).map_err(CommandError::Stdout)?;
        Ok(Exit::Ok)
    }
}

fn people(report: &Report<'_>) -> String {
    let head = match (report.already_running, report.seconds) {
        (false, Some(taken)) => {
            let taken = seconds(Duration::from_secs_f64(taken));
            format!("`{}` is ready on `{}` ({taken})", report.instance, report.accelerator)
        }
        _ => format!("`{}` runs already", report.instance),
    };
    format!("{head}\n{}", addresses(&report.ports))
}
