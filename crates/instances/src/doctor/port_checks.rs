//! Checks of the host's ports.

use image::stack::Port;

use super::{Check, Hint, PortSources};
use crate::instance::Instance;
use crate::instance::error::InstanceError;
use crate::instance::record::Record;
use crate::instance::state::State;
use crate::ports::{Wishes, assign, check_loopback};

const NAME: &str = "ports";

/// Checks that every port that the next start would use is free.
pub(super) fn all(instance: &Instance, ports: &[Port], sources: &PortSources<'_>, hint: Hint<'_>) -> Check {
    let record = match instance.state() {
        Ok(State::Running(live) | State::Starting(live) | State::Stopping(live)) => {
            let held: Vec<String> = live.stack.ports.iter().map(|port| port.host.to_string()).collect();
            let text = format!("{} belong to `{}`, which runs", held.join(", "), instance.name());
            return Check::ok(NAME, text);
        }
        Ok(State::Stopped(record) | State::Suspended(record)) => record,
        // Its ports may be taken by it, and may be of another network.
        Ok(State::Elsewhere(elsewhere)) => {
            let text = format!("`{}`: {elsewhere}", instance.name());
            return Check::warn(NAME, text, hint(&elsewhere));
        }
        _ => Record::new(instance.name().clone()),
    };
    let wishes = Wishes {
        requests: &[],
        file_ports: sources.file_ports,
        variable: sources.variable,
        recorded: &record.ports,
        automatic: sources.automatic || record.automatic_ports,
        instance: instance.name().as_str(),
        others: &|| instance.ports_of_others(),
    };
    if let Err(error) = check_loopback() {
        let error = InstanceError::from(error);
        return Check::fail(NAME, error.to_string(), hint(&error));
    }
    let outcome = assign(ports, &wishes).and_then(|mut assigned| {
        assigned.hold()?;
        Ok(assigned.ports)
    });
    match outcome {
        Ok(ports) => {
            let free: Vec<String> = ports.iter().map(|port| port.host.to_string()).collect();
            Check::ok(NAME, format!("{} are free", free.join(", ")))
        }
        Err(error) => {
            let error = InstanceError::from(instance.with_instances(error));
            // A start can use other ports, so this is not a fault of the machine.
            Check::warn(NAME, error.to_string(), hint(&error))
        }
    }
}
