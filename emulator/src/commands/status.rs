//! `emulator status`.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base::events::{Event, Reporter};
use clap::Args;
use image::stack;
use instances::instance::concern::Concern;
use instances::instance::containers::{self, ContainerHealth};
use instances::instance::health::{self, Health};
use instances::instance::live::{Live, StartedBy};
use instances::instance::record::Secrets;
use instances::instance::standstill::Standstill;
use instances::instance::state::State;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm::agent::AgentError;

use super::Run;
use super::launch::report_newer_image;
use crate::board::Board;
use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;
use crate::hints;
use crate::printer::{properties, table};
use crate::reader;
use crate::views::{InstanceView, MachineView, RunView};

/// Show state, addresses and health
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 running and healthy, 1 unhealthy or broken, 3 not running.

Examples:
  emulator status
  emulator status --show-secrets        with the keys that clients need
  emulator status -o json
  emulator status --watch -o json       a JSON document for every change")]
pub(crate) struct Status {
    /// Show the values of the session's secrets
    #[arg(long)]
    show_secrets: bool,

    /// Show it again and again until Ctrl-C: at a terminal as a live table, elsewhere whenever it changes
    #[arg(short, long)]
    watch: bool,
}

/// How often `--watch` looks.
const PACE: Duration = Duration::from_secs(1);

/// How long one service may take to answer on hardware acceleration; multiplied by the accelerator's patience.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    instance: &'a str,
    /// The directory that it belongs to; null where it was named.
    directory: Option<PathBuf>,
    state: &'static str,
    /// Whether every service is; null when nothing runs.
    healthy: Option<bool>,
    reasons: Vec<String>,
    #[serde(flatten)]
    run: RunView<'a>,
    secrets: Vec<SecretView<'a>>,
    #[serde(with = "time::serde::rfc3339::option")]
    started_at: Option<OffsetDateTime>,
    #[serde(flatten)]
    machine: MachineView<'a>,
    services: Vec<Health>,
    containers: Vec<ContainerHealth>,
}

/// A secret of the running stack, its value only when it was asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretView<'a> {
    name: &'a str,
    /// Variable that programs look for it in.
    env: &'a str,
    value: Option<String>,
}

impl Run for Status {
    const HOME_USE: HomeUse = HomeUse::Looks;

    fn until_interrupted(&self) -> bool {
        self.watch
    }

    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
        if !self.watch {
            report_newer_image(context, context.console);
            return self.look(context, |report| context.printer.print(report, people)).await;
        }
        let (mut board, mut pace) = (Board::new(context.printer), tokio::time::interval(PACE));
        let shown = async {
            while !board.is_abandoned() {
                pace.tick().await;
                self.look(context, |report| board.show(report, people)).await?;
            }
            Ok(Exit::Ok)
        };
        tokio::select! {
            outcome = shown => outcome,
            () = reader::gone() => Ok(Exit::Ok),
        }
    }
}

impl Status {
    /// Determines what there is to report, and shows it.
    async fn look(
        &self,
        context: &Context<'_>,
        show: impl FnMut(&Report<'_>) -> io::Result<()>,
    ) -> Result<Exit, CommandError> {
        let mut state = context.instance().state()?;
        let mut parts = Parts::of(&state).await;
        if parts.services.iter().any(|service| !service.healthy) {
            // A command may have begun to stop it meanwhile.
            let now = context.instance().state()?;
            if now.name() != state.name() {
                parts = Parts::of(&now).await;
                state = now;
            }
        }
        let session = if self.show_secrets { context.instance().session()? } else { None };
        if session.as_ref().is_some_and(|session| session.unconfirmed) {
            context.console.report(&Event::Warning(&hints::unconfirmed(&context.name)));
        }
        let values = session.and_then(|session| session.secrets);
        let secrets = match &state {
            State::Running(live) => self.secrets(live, values.as_ref()),
            _ => Vec::new(),
        };
        let concerns = context.instance().concerns(&state)?;
        tell(context, &state, parts, concerns, secrets, show).await
    }

    /// What the services have: the session's values, or the placeholders.
    fn secrets<'a>(&self, live: &'a Live, values: Option<&Secrets>) -> Vec<SecretView<'a>> {
        let own = |secret: &stack::Secret| Some(values?.get(&secret.name)?.reveal().to_owned());
        let value = |secret: &stack::Secret| {
            if live.run.rotated { own(secret) } else { Some(secret.placeholder.clone()) }
        };
        let view = |secret: &'a stack::Secret| SecretView {
            name: &secret.name,
            env: &secret.env,
            value: value(secret).filter(|_| self.show_secrets),
        };
        live.stack.secrets.iter().map(view).collect()
    }
}

/// What the parts of a machine that is there have answered.
struct Parts {
    services: Vec<Health>,
    containers: Result<Vec<ContainerHealth>, AgentError>,
}

impl Parts {
    /// Asks all of them at once: one that does not answer takes its whole time.
    async fn of(state: &State) -> Self {
        let (State::Starting(live) | State::Running(live)) = state else {
            return Self { services: Vec::new(), containers: Ok(Vec::new()) };
        };
        let ports = &live.stack.ports;
        if live.is_in_other_network() {
            let reason = "is in another network namespace: its port cannot be reached from here";
            return Self { services: health::unasked(ports, reason), containers: Ok(Vec::new()) };
        }
        let limit = limit(live);
        let (services, containers) =
            tokio::join!(health::check(ports, limit), containers::check(live, limit));
        Self { services, containers }
    }
}

/// How long the guest may take to answer.
fn limit(live: &Live) -> Duration {
    ANSWER_LIMIT * live.topology().accelerator.patience()
}

async fn tell(
    context: &Context<'_>,
    state: &State,
    Parts { services, containers }: Parts,
    concerns: Vec<Concern>,
    secrets: Vec<SecretView<'_>>,
    mut show: impl FnMut(&Report<'_>) -> io::Result<()>,
) -> Result<Exit, CommandError> {
    let (exit, live, mut reasons) = match state {
        State::Absent | State::Stopped(_) | State::Suspended(_) | State::Stopping(_) => {
            (Exit::NotRunning, None, Vec::new())
        }
        State::Starting(live) => (Exit::Failed, Some(live), Vec::new()),
        State::Running(live) => (Exit::Ok, Some(live), Vec::new()),
        State::Elsewhere(elsewhere) => {
            let hint = hints::about(elsewhere, &context.name).unwrap_or_default();
            (Exit::Failed, None, vec![format!("{elsewhere}: {hint}")])
        }
        State::Broken(faults) => (Exit::Failed, None, faults.iter().map(ToString::to_string).collect()),
    };
    reasons.extend(concerns.iter().map(|concern| match concern {
        Concern::DiskRemoved(_) => {
            format!("{concern}: `emulator stop{}` puts it back", hints::flag(&context.name))
        }
        Concern::Memory(_) | Concern::Record(_) => concern.to_string(),
    }));
    if let Some(live) = live.filter(|live| live.has_lost_monitor()) {
        let flag = hints::flag(&context.name);
        reasons.push(format!(
            "its socket `{}` is not there: `emulator stop{flag}`, then `emulator start{flag}`",
            live.machine.qmp.display()
        ));
    }
    // A machine that answers is not paused.
    if let (State::Running(live), true) = (state, services.iter().all(|service| !service.healthy))
        && let Some(standstill) = Standstill::look(live).await
    {
        let start = format!("`emulator start{}` continues it", hints::flag(&context.name));
        reasons.push(format!("it is paused ({standstill}): {start}"));
    }
    let sick = services.iter().filter(|service| !service.healthy);
    reasons.extend(sick.map(|service| {
        format!("`{}` {}", service.name, service.reason.as_deref().unwrap_or("is unhealthy"))
    }));
    let containers = containers.unwrap_or_else(|error| {
        reasons.push(format!("the states of its containers are not known: {error}"));
        Vec::new()
    });
    let failing = containers.iter().filter(|container| !container.healthy);
    reasons.extend(failing.map(of_container));
    let exit = if exit == Exit::Ok && !reasons.is_empty() { Exit::Failed } else { exit };
    let mut report = report(context.name.as_str(), state.name(), live, reasons, services);
    report.containers = containers;
    report.secrets = secrets;
    report.directory = context.instance().directory().or_else(|| context.directory());
    show(&report).map_err(CommandError::Stdout)?;
    Ok(exit)
}

/// Why a container is not well, and how often that has happened before.
fn of_container(container: &ContainerHealth) -> String {
    let reason = container.reason.as_deref().unwrap_or("it does not run");
    let restarts = match container.restarts {
        0 => String::new(),
        1 => " (restarted once)".to_owned(),
        many => format!(" (restarted {many} times)"),
    };
    format!("container `{}`: {reason}{restarts}", container.name)
}

fn report<'a>(
    instance: &'a str,
    state: &'static str,
    live: Option<&'a Live>,
    reasons: Vec<String>,
    services: Vec<Health>,
) -> Report<'a> {
    let InstanceView { run, machine } = InstanceView::of(live);
    Report {
        instance,
        directory: None,
        state,
        healthy: live.map(|_| reasons.is_empty()),
        reasons,
        run,
        secrets: Vec::new(),
        started_at: live.map(|live| live.run.started_at),
        machine,
        services,
        containers: Vec::new(),
    }
}

fn began(by: StartedBy, because: Option<&str>) -> String {
    match (by, because) {
        (StartedBy::Snapshot, _) => "from a snapshot".to_owned(),
        (StartedBy::Suspended, _) => "where it was suspended".to_owned(),
        (StartedBy::Cold, None) => "with a boot".to_owned(),
        (StartedBy::Cold, Some(because)) => format!("with a boot, since {because}"),
    }
}

fn people(report: &Report<'_>) -> String {
    let state = match report.healthy {
        Some(true) => format!("{} and healthy", report.state),
        Some(false) if report.state == "running" => "running, but unhealthy".to_owned(),
        _ => report.state.to_owned(),
    };
    let mut rows = vec![("instance", report.instance.to_owned()), ("state", state)];
    rows.extend(report.directory.iter().map(|dir| ("directory", dir.display().to_string())));
    rows.extend(report.reasons.iter().map(|reason| ("reason", reason.clone())));
    if let (Some(accelerator), Some(cpus), Some(memory)) =
        (report.machine.accelerator, report.machine.cpus, report.machine.memory_mib)
    {
        let because = report.machine.accelerator_fallback.map(|why| format!(" ({why})")).unwrap_or_default();
        rows.push(("accelerator", format!("{accelerator}{because}")));
        rows.push(("machine", format!("{cpus} CPUs, {memory} MiB")));
    }
    if let Some(at) = report.started_at.and_then(|at| at.truncate_to_second().format(&Rfc3339).ok()) {
        rows.push(("started", at));
    }
    if let Some(by) = report.run.started_by {
        rows.push(("began", began(by, report.run.cold_because)));
    }
    match report.run.rotated {
        Some(true) => rows.push(("secrets", "this session's own".to_owned())),
        Some(false) => rows.push(("secrets", "the image's well-known placeholders".to_owned())),
        None => {}
    }
    if let Some(pid) = report.machine.pid {
        rows.push(("pid", pid.to_string()));
    }
    let mut head = properties(rows);
    if !report.containers.is_empty() {
        head = format!("{head}\n\n{}", container_table(&report.containers));
    }
    if report.machine.ports.is_empty() {
        return head;
    }
    let shown: Vec<_> = report
        .secrets
        .iter()
        .filter_map(|secret| Some([secret.env.to_owned(), secret.value.clone()?]))
        .collect();
    let secrets =
        if shown.is_empty() { String::new() } else { format!("\n\n{}", table(["SECRET", "VALUE"], shown)) };
    let health = |name: &str| match report.services.iter().find(|service| service.name == name) {
        Some(Health { healthy: true, .. }) => "healthy",
        Some(_) => "unhealthy",
        None => "",
    };
    let ports = report
        .machine
        .ports
        .iter()
        .map(|port| [port.name.to_owned(), port.url.clone(), health(port.name).to_owned()]);
    format!("{head}\n\n{}{secrets}", table(["SERVICE", "URL", "HEALTH"], ports))
}

fn container_table(containers: &[ContainerHealth]) -> String {
    let row = |container: &ContainerHealth| {
        [container.name.clone(), container.status.to_string(), container.restarts.to_string()]
    };
    table(["CONTAINER", "STATE", "RESTARTS"], containers.iter().map(row))
}
