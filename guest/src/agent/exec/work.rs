//! What a command of the host comes to in this machine: itself, or a program that executes it in a container.

use protocol::exec::Task;
use tempfile::NamedTempFile;

use super::place::{NotRunning, Place};
use crate::{
    container::{self, exec::Entry},
    services,
};

/// What is executed.
pub(super) struct Work {
    pub(super) command: Vec<String>,
    pub(super) place: Place,
    /// A file that the command reads.
    pub(super) input: Option<NamedTempFile>,
}

impl Work {
    /// Finds out what a task needs.
    ///
    /// # Errors
    /// When its service does not exist, or does not run ([`NotRunning`]), or its container has no such program ([`container::exec::NoProgram`]).
    pub(super) fn of(task: &Task) -> anyhow::Result<Self> {
        let Some(name) = &task.service else {
            return Ok(Self { command: task.command.clone(), place: Place::root(), input: None });
        };
        if container::find(name)?.is_none() {
            let place = Place::of_service(name, &services::load()?)?;
            return Ok(Self { command: task.command.clone(), place, input: None });
        }
        let entry = Entry::prepare(name, &task.command, task.terminal.as_ref())?;
        let Entry { command, process } = entry.ok_or_else(|| NotRunning(name.clone()))?;
        Ok(Self { command, place: Place::root(), input: Some(process) })
    }
}
