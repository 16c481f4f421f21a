//! Checks of the host's ports.

use std::collections::BTreeMap;

use image::stack::Port;

use super::{Check, Hint, Variable};
use crate::instance::Instance;
use crate::instance::error::InstanceError;
use crate::instance::state::State;
use crate::ports::{Wishes, check_free, check_loopback, resolve};

const NAME: &str = "ports";

/// Checks that every port that the next start would use is free.
pub(super) fn all(instance: &Instance, ports: &[Port], variable: Variable<'_>, hint: Hint<'_>) -> Check {
    let recorded = match instance.state() {
        Ok(State::Running(live) | State::Starting(live)) => {
            let held: Vec<String> = live.stack.ports.iter().map(|port| port.host.to_string()).collect();
            let text = format!("{} belong to `{}`, which runs", held.join(", "), instance.name());
            return Check::ok(NAME, text);
        }
        Ok(State::Stopped(record) | State::Suspended(record)) => record.ports,
        // Its ports may be taken by it, and may be of another network.
        Ok(State::Elsewhere(elsewhere)) => {
            let text = format!("`{}`: {elsewhere}", instance.name());
            return Check::warn(NAME, text, hint(&elsewhere));
        }
        _ => BTreeMap::new(),
    };
    let wishes = Wishes { requests: &[], variable, recorded: &recorded };
    if let Err(error) = check_loopback() {
        let error = InstanceError::from(error);
        return Check::fail(NAME, error.to_string(), hint(&error));
    }
    let outcome = resolve(ports, &wishes).and_then(|ports| check_free(&ports).map(|()| ports));
    match outcome {
        Ok(ports) => {
            let free: Vec<String> = ports.iter().map(|port| port.host.to_string()).collect();
            Check::ok(NAME, format!("{} are free", free.join(", ")))
        }
        Err(error) => {
            let error = InstanceError::from(error);
            // A start can use other ports, so this is not a fault of the machine.
            Check::warn(NAME, error.to_string(), hint(&error))
        }
    }
}
