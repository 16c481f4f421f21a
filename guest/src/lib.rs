//! The platform in every virtual machine: `/init`, the agent of the host, provisioning, and what resident services have in common.
//!
//! It does not depend on a product: the services, their names and what they take are in [`protocol::services::FILE`], which
//! the image build writes. A product's own program has all of the platform's programs beside its own, so that a machine holds one
//! binary, whose pages all of them share.

mod agent;
mod console;
pub mod control;
pub mod environment;
pub mod http_client;
pub mod http_server;
mod init;
mod progress;
mod provision;
mod ready;
mod report;
pub mod service;
mod services;

use std::{io::Write as _, process::ExitCode};

use clap::Subcommand;

pub use report::report;

/// The platform's programs.
#[derive(Debug, Subcommand)]
pub enum Platform {
    /// Carry out what the host requests over a port of the machine
    Agent,
    /// Carry out one request that comes on stdin, instead of the agent
    Resume,
    /// Wait until the services answer
    Ready,
    /// List what the stack consists of
    #[command(hide = true)]
    Services(services::list::List),
    /// Run the steps that make an image out of a base system
    Provision(provision::Provision),
}

impl Platform {
    /// Runs the program.
    ///
    /// # Errors
    /// When it cannot do its job.
    pub fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Agent => agent::run(),
            Self::Resume => agent::run_once(),
            Self::Ready => ready::run(),
            Self::Services(list) => list.run(),
            Self::Provision(provision) => provision.run(),
        }
    }
}

/// Runs `program`, and shows why it failed; as process 1, which the kernel starts as `/init` of the fast initial RAM file system,
/// boots the machine instead.
pub fn main(program: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    if std::process::id() == 1 {
        init::run();
        return ExitCode::SUCCESS;
    }
    match program() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is no other way to report it if this fails.
            let _ = writeln!(std::io::stderr(), "error: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}
