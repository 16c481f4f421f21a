//! `stackd provision`: runs the steps that make an image out of a base system, and reports progress to the host.
//!
//! A step is an executable file; steps run in the order of their names, the first one that fails ends provisioning. What they
//! print goes into a log, and line by line to the host; the serial console shows what begins and what went wrong.
//! Provisioning has two rounds: the steps that cloud-init's `runcmd` starts, and the ones of `stack-seal.service`, which clean
//! up after cloud-init itself has finished.

mod step;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use base::process::{Cmd, ProcessError};
use protocol::names::markers;
use protocol::progress::Event;

use crate::progress::Port;
use crate::{console, service};
use step::Step;

/// Everything that the steps print.
const LOG: &str = "/var/log/stack-provision.log";

/// Shows what may explain a failure.
const DIAGNOSE: &str = "/usr/lib/stack/diagnose";

/// The step that a failure outside of any step is reported for.
const NO_STEP: &str = "provision";

/// The arguments of `stackd provision`.
#[derive(Debug, clap::Args)]
pub struct Provision {
    /// Directory with the steps.
    #[arg(default_value = "/usr/lib/stack/steps.d")]
    steps: PathBuf,

    /// Report the end of provisioning after these steps.
    #[arg(long)]
    last: bool,
}

impl Provision {
    /// Runs all steps.
    ///
    /// # Errors
    /// When a step fails; it has been reported to host and console by then.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        service::run(self.all())?
    }

    async fn all(self) -> anyhow::Result<()> {
        let mut report = Report { port: Port::open().context("cannot open the progress port")? };
        let result = self.steps(&mut report).await;
        match &result {
            Ok(()) if self.last => {
                report.port.send(&Event::Done);
                show(markers::PROVISION_DONE);
            }
            Ok(()) => {}
            Err(failure) => report.failed(failure).await,
        }
        result.map_err(|failure| failure.error.context(format!("step `{}`", failure.step)))
    }

    async fn steps(&self, report: &mut Report) -> Result<(), Failure> {
        let steps = step::list(&self.steps)
            .map_err(|error| Failure { step: NO_STEP.to_owned(), error: error.into() })?;
        for step in steps {
            report.started(&step);
            let start = Instant::now();
            let cmd = Cmd::new(&step.path);
            cmd.logged(Path::new(LOG), |line| report.line(&step, line))
                .await
                .map_err(|error| Failure { step: step.name.clone(), error: error.into() })?;
            report.port.send(&Event::End { step: step.name, seconds: start.elapsed().as_secs_f64() });
        }
        Ok(())
    }
}

/// Why provisioning ended early.
struct Failure {
    step: String,
    error: anyhow::Error,
}

impl Failure {
    /// Status and last lines.
    fn parts(&self) -> (String, Vec<String>) {
        match self.error.downcast_ref() {
            Some(ProcessError::Failed { status, tail, .. }) => {
                (status.clone(), tail.lines().map(str::to_owned).collect())
            }
            _ => (format!("{:#}", self.error), Vec::new()),
        }
    }
}

/// Where progress is reported.
struct Report {
    port: Port,
}

impl Report {
    fn started(&mut self, step: &Step) {
        show(&format!("{}: {}", markers::PROVISION, step.title));
        self.port.send(&Event::Start { step: step.name.clone(), title: step.title.clone() });
    }

    fn line(&mut self, step: &Step, line: &str) {
        self.port.send(&Event::Line { step: step.name.clone(), text: line.to_owned() });
    }

    /// Reports to the host first, so that it knows the step even if the machine dies during the diagnostics.
    async fn failed(&mut self, failure: &Failure) {
        let (status, tail) = failure.parts();
        let step = failure.step.clone();
        self.port.send(&Event::Failed { step: step.clone(), status: status.clone(), tail: tail.clone() });
        show(&format!("{}: step `{step}` {status}", markers::PROVISION));
        for line in tail {
            show(&line);
        }
        let shown = Cmd::new(DIAGNOSE).logged(Path::new(LOG), show).await;
        if let Err(error) = shown {
            show(&format!("{}: no diagnostics: {error}", markers::PROVISION));
        }
        show(markers::PROVISION_FAILED);
    }
}

/// Shows a line on the machine's console; one that cannot be written to has no reader.
fn show(line: &str) {
    let _ = console::line(line);
}
