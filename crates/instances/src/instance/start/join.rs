//! A start of an instance that runs already.

use base::events::{Phase, Reporter};
use base::files::FileError;
use vm::accel::Choice;
use vm::tail::Tail;

use super::super::error::InstanceError;
use super::super::live::Live;
use super::super::{Instance, ready, record};
use super::{Lasts, READY_LIMIT, StartOptions, Started};
use crate::ports::{self, PortChoice, PortRequest};

/// An option of a start that a running machine may not match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// An accelerator.
    Accelerator,
    /// An architecture.
    Arch,
    /// The number of virtual CPUs.
    Cpus,
    /// The size of the memory.
    Memory,
    /// An image.
    Image,
    /// A host port of the port with this name.
    Port(String),
}

impl Instance {
    /// Waits for an instance that runs already, and finds the options that it does not match.
    pub(super) async fn join(
        &self,
        mut live: Live,
        options: &StartOptions<'_>,
        reporter: &dyn Reporter,
    ) -> Result<Started, InstanceError> {
        let known: Vec<_> =
            live.stack.ports.iter().map(|port| (port.name.as_str(), port.variable.as_str())).collect();
        ports::check_names(&known, &options.ports, &options.file_ports)?;
        let unmet = unmet(&live, options);
        let mut released = self.unpause(&live, reporter).await?;
        self.mend_sockets(&live).await?;
        if live.is_in_other_network() {
            return Err(InstanceError::OtherNetwork(self.name.clone()));
        }
        let limit = options.machine.timeout.unwrap_or(READY_LIMIT * live.topology().accelerator.patience());
        let phase = Phase::start(reporter, "services", "Check service health");
        // A stall that it has survived, as of a laptop that slept, is not reported.
        let console = self.dir.serial_log();
        let console = Tail::from_now_on(&console).map_err(FileError::of("read", &console))?;
        let fails = async {
            match &mut released {
                Some(released) => released.fails().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = ready::wait(&live.stack.ports, console, limit, &phase) => ready?,
            error = fails => return Err(error),
        }
        phase.done();
        if options.lasts == Lasts::UntilStopped && live.run.until_runs_end.take().is_some() {
            record::write(&self.dir.live(), &live)?;
        }
        Ok(Started { live, already_running: true, unmet })
    }
}

/// The options that a running instance does not match.
fn unmet(live: &Live, options: &StartOptions<'_>) -> Vec<Wish> {
    let machine = &options.machine;
    let port_differs = |wish: &&PortRequest| match wish.choice {
        PortChoice::Auto => false,
        PortChoice::Fixed(port) => {
            live.stack.ports.iter().all(|known| known.name != wish.name || known.host != port)
        }
    };
    let wishes = [
        (
            Wish::Accelerator,
            matches!(machine.accel, Choice::Only(accelerator) if accelerator != live.topology().accelerator),
        ),
        (Wish::Arch, machine.arch.is_some_and(|arch| arch != live.topology().arch)),
        (Wish::Cpus, machine.cpus.is_some_and(|cpus| cpus != live.topology().cpus)),
        (Wish::Memory, machine.memory_mib.is_some_and(|memory| memory != live.topology().memory_mib)),
        (Wish::Image, machine.image.as_ref().is_some_and(|image| *image != live.machine.image)),
    ];
    let ports = options.ports.iter().filter(port_differs).map(|wish| Wish::Port(wish.name.clone()));
    wishes.into_iter().filter_map(|(wish, differs)| differs.then_some(wish)).chain(ports).collect()
}
