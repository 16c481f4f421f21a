//! The platform in every virtual machine: `/init`, the agent of the host, provisioning, and what resident services have in common.
//!
//! It does not depend on a product: the services, their names and what they take are in [`protocol::services::FILE`], which
//! the image build writes. A product's own program has all of the platform's programs beside its own, so that a machine holds one
//! binary, whose pages all of them share.

mod agent;
mod console;
mod container;
pub mod control;
pub mod environment;
pub mod http_client;
pub mod http_server;
mod init;
mod netlink;
pub mod postgres;
mod progress;
mod provision;
mod ready;
mod report;
pub mod service;
mod services;
mod sql;
mod start;

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
    /// Run the stack's containers
    #[command(hide = true, subcommand)]
    Container(container::Containers),
    /// List what the stack consists of
    #[command(hide = true)]
    Services(services::list::List),
    /// Start the services of an image that is being built, and wait until they answer
    #[command(hide = true)]
    Start,
    /// Replace secrets that databases keep when the machine is resumed
    #[command(hide = true)]
    Sql,
    /// Run the steps that make an image out of a base system
    Provision(provision::Provision),
}

impl Platform {
    /// Runs the program, and returns its exit status.
    ///
    /// # Errors
    /// When it cannot do its job.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let done = match self {
            Self::Container(program) => return program.run(),
            Self::Agent => agent::run(),
            Self::Resume => agent::run_once(),
            Self::Ready => ready::run(),
            Self::Services(list) => list.run(),
            Self::Start => start::run(),
            Self::Sql => sql::run(),
            Self::Provision(provision) => provision.run(),
        };
        done.map(|()| ExitCode::SUCCESS)
    }
}

/// Runs `program`, and shows why it failed; as process 1, which the kernel starts as `/init` of the fast initial RAM file system,
/// boots the machine instead. A container's first process is process 1 too.
pub fn main(program: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    let is_in_container = || std::env::args_os().nth(1).is_some_and(|argument| argument == "container");
    if std::process::id() == 1 && !is_in_container() {
        init::run();
        return ExitCode::SUCCESS;
    }
    match program() {
        Ok(status) => status,
        Err(error) => {
            // There is no other way to report it if this fails.
            let _ = writeln!(std::io::stderr(), "error: {}", report(&*error));
            ExitCode::FAILURE
        }
    }
}
