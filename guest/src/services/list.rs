//! `stackd services`: what the steps of provisioning, which are shell scripts, need to know of the stack.

use std::io::{self, Write as _};

use anyhow::Context as _;
use protocol::services::Services;

use crate::container;

/// What to list.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum What {
    /// The stack's name
    Name,
    /// The units of the services, in the order in which they are started
    Units,
    /// The ports that the services listen on for the host
    Ports,
    /// Those of these ports that no container listens on, with a network of its own
    Listening,
}

/// Prints facts about the stack's services, one a line.
#[derive(Debug, clap::Args)]
pub struct List {
    /// What to list
    what: What,

    /// List the last one first
    #[arg(long)]
    reverse: bool,
}

impl List {
    /// Prints the list.
    ///
    /// # Errors
    /// When the services are not described, or nothing reads the list.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let mut lines = self.lines(&super::load()?)?;
        if self.reverse {
            lines.reverse();
        }
        let text: String = lines.into_iter().map(|line| line + "\n").collect();
        io::stdout().lock().write_all(text.as_bytes()).context("cannot write the list")
    }

    fn lines(&self, services: &Services) -> anyhow::Result<Vec<String>> {
        Ok(match self.what {
            What::Name => vec![services.name.clone()],
            What::Units => services.services.iter().map(|service| service.unit.clone()).collect(),
            What::Ports => services.ports().map(|port| port.guest.to_string()).collect(),
            What::Listening => {
                let published: Vec<_> = container::all()?
                    .iter()
                    .flat_map(|it| it.published.clone())
                    .map(|port| port.guest)
                    .collect();
                let own = services.ports().map(|port| port.guest).filter(|port| !published.contains(port));
                own.map(|port| port.to_string()).collect()
            }
        })
    }
}
