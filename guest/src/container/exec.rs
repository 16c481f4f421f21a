//! Commands that the host runs in a container: `crun` executes them with the user and the environment of its program.

use std::{fs, io, path::PathBuf};

use anyhow::Context as _;
use protocol::exec::{Size, Terminal};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{lookup::View, program::PID_FILE, runtime_dir};

/// The file in the runtime directory with what every process of the container has. It is there while the container's program runs.
pub(super) const TEMPLATE: &str = "process.json";

/// A command in a container.
pub(crate) struct Entry {
    /// What to run in the machine for it.
    pub(crate) command: Vec<String>,
    /// The file that it reads; it has to be there until then.
    pub(crate) process: NamedTempFile,
}

/// A program that cannot be executed in a container, and why.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(crate) struct NoProgram(pub(crate) io::Error);

/// Where a container's template is.
pub(super) fn template_of(name: &str) -> PathBuf {
    runtime_dir(name).join(TEMPLATE)
}

impl Entry {
    /// Prepares `command` in the container `name`; `None` when the container does not run.
    ///
    /// # Errors
    /// When what its processes have in common cannot be read, the file cannot be written, or the container has no such program:
    /// [`NoProgram`].
    pub(crate) fn prepare(
        name: &str,
        command: &[String],
        terminal: Option<&Terminal>,
    ) -> anyhow::Result<Option<Self>> {
        let path = template_of(name);
        let template = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read `{}`", path.display())),
        };
        let template =
            serde_json::from_slice(&template).with_context(|| format!("invalid `{}`", path.display()))?;
        if let (Some(program), Ok(view)) = (command.first(), View::open(&runtime_dir(name).join(PID_FILE))) {
            view.check(&template, program).map_err(|errno| NoProgram(errno.into()))?;
        }
        let process = NamedTempFile::new_in(runtime_dir(name)).context("cannot create a file")?;
        serde_json::to_writer(&process, &filled(template, command, terminal))
            .context("cannot write a file")?;
        let file = process.path().to_str().context("its path is not text")?;
        let command = ["crun", "--cgroup-manager=disabled", "exec", "--process", file, name];
        Ok(Some(Self { command: command.map(str::to_owned).to_vec(), process }))
    }
}

/// The process of a command, from what every process of the container has.
fn filled(mut process: Value, command: &[String], terminal: Option<&Terminal>) -> Value {
    process["args"] = json!(command);
    let Some(Terminal { size: Size { columns, rows }, term }) = terminal else { return process };
    process["terminal"] = json!(true);
    process["consoleSize"] = json!({"width": columns, "height": rows});
    if let (Some(term), Some(env)) = (term, process["env"].as_array_mut()) {
        env.retain(|entry| !entry.as_str().is_some_and(|entry| entry.starts_with("TERM=")));
        env.push(json!(format!("TERM={term}")));
    }
    process
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_what_the_containers_program_has() {
        let template = json!({"args": ["x"], "env": ["A=1", "TERM=dumb"], "cwd": "/app", "terminal": false});
        let command = ["ls".to_owned(), "-l".to_owned()];
        assert_eq!(
            filled(template.clone(), &command, None),
            json!({"args": ["ls", "-l"], "env": ["A=1", "TERM=dumb"], "cwd": "/app", "terminal": false})
        );
        let terminal = Terminal { size: Size { columns: 80, rows: 24 }, term: Some("xterm".into()) };
        let with_terminal = filled(template, &command, Some(&terminal));
        assert_eq!(with_terminal["env"], json!(["A=1", "TERM=xterm"]));
        assert_eq!(with_terminal["consoleSize"], json!({"width": 80, "height": 24}));
        assert_eq!(with_terminal["terminal"], json!(true));
    }
}
