//! `stackd container`: the containers of this machine, with `crun` to start them.
//!
//! What a container is was written when the image was built, into [`protocol::containers::DIR`]. Each is a unit of its own, whose main
//! process supervises it. The processes of a container stay in the control group of its unit, so that the limits of the unit are
//! theirs, and what systemd ends has ended.

mod accounts;
mod capabilities;
mod checks;
mod config;
mod environment;
pub(crate) mod exec;
mod files;
mod health;
pub(crate) mod hosts;
mod init;
mod lookup;
mod namespace;
mod network;
mod prepared;
mod process;
mod program;
mod published;
mod root;
mod signal;
pub(crate) mod state;
mod supervisor;
mod volumes;

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use protocol::containers::{Container, DIR};

/// The programs of containers.
#[derive(Debug, clap::Subcommand)]
pub enum Containers {
    /// Set up the network of the containers
    Network,
    /// Run a container until it ends
    Run {
        /// Its name
        name: String,
    },
    /// Run a program, as the first process of a container
    Init(init::Init),
}

impl Containers {
    /// Runs the program. The exit status is that of the container.
    ///
    /// # Errors
    /// When it cannot do its job.
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        match self {
            Self::Network => network::set_up().map(|()| ExitCode::SUCCESS),
            Self::Run { name } => supervisor::run(&name),
            Self::Init(init) => init.run(),
        }
    }
}

/// The runtime directory of a container's unit.
fn runtime_dir(name: &str) -> PathBuf {
    Path::new("/run").join(format!("stack-{name}"))
}

/// Reads the description of one container; `None` if there is none of this name.
///
/// # Errors
/// When it cannot be read, or is not valid.
pub(crate) fn find(name: &str) -> anyhow::Result<Option<Container>> {
    // A name that is not one of a file has no description.
    if name.contains('/') {
        return Ok(None);
    }
    let path = Path::new(DIR).join(format!("{name}.json"));
    match fs::read_to_string(&path) {
        Ok(text) => {
            let container = Container::parse(&text);
            container.map(Some).with_context(|| format!("`{}` cannot be used", path.display()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", path.display())),
    }
}

/// Reads the descriptions of all containers, by their names; none in a machine without containers.
///
/// # Errors
/// When one cannot be read, or is not valid.
pub(crate) fn all() -> anyhow::Result<Vec<Container>> {
    let mut containers = Vec::new();
    let entries = match fs::read_dir(DIR) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(containers),
        entries => entries.with_context(|| format!("cannot list `{DIR}`"))?,
    };
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list `{DIR}`"))?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        containers.extend(find(name)?);
    }
    containers.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(containers)
}

#[cfg(test)]
mod fixtures {
    use super::*;

    /// A container with this description beside what every one has.
    pub(super) fn container(rest: &str) -> Container {
        let text = format!(
            r#"{{"name": "web", "hostname": "web", "address": "172.30.0.2", "layers": ["aa"],
                "args": ["/bin/httpd"], "stop_seconds": 10 {rest}}}"#
        );
        Container::parse(&text).unwrap()
    }
}
