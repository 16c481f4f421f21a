//! `stackd`: every program that runs inside the virtual machine, in one static binary.

mod agent;
mod backend;
mod checks;
mod console;
mod control;
mod cron;
mod dashboard;
mod guard;
mod http_client;
mod http_server;
mod init;
mod local_admin;
mod migrate;
mod progress;
mod provision;
mod ready;
mod request;
mod seed;
mod service;
mod settings;
mod smoke;
mod store;
mod warm_up;

use std::{io::Write as _, process::ExitCode};

use clap::{Parser, Subcommand};

/// Every program inside the virtual machine.
#[derive(Parser)]
#[command(name = "stackd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    /// Serve the API
    Backend,
    /// Serve the dashboard
    Dashboard,
    /// Call the backend's periodic tasks, for ever
    Cron,
    /// Do what the host says over a port of the machine, for ever
    Agent,
    /// Do what one request on stdin says, in the place of the agent
    Resume,
    /// Bring the database's schema up to date
    Migrate,
    /// Put the internal project, its keys and the local admin into the database
    Seed,
    /// Call every endpoint once, so that nothing is cold
    WarmUp,
    /// Wait until the services answer, and tell the console
    Ready,
    /// Check the running services from the inside
    Smoke,
    /// Run the steps that make an image out of a base system
    Provision(provision::Provision),
}

fn main() -> ExitCode {
    // The kernel starts this program as `/init` of the fast initial RAM file system.
    if std::process::id() == 1 {
        init::run();
        return ExitCode::SUCCESS;
    }
    match run(Arguments::parse().program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell if this fails.
            let _ = writeln!(std::io::stderr(), "error: {}", store::report(&*error));
            ExitCode::FAILURE
        }
    }
}

fn run(program: Program) -> anyhow::Result<()> {
    match program {
        Program::Backend => backend::run(),
        Program::Dashboard => dashboard::run(),
        Program::Cron => cron::run(),
        Program::Agent => agent::run(),
        Program::Resume => agent::run_once(),
        Program::Migrate => migrate::run(),
        Program::Seed => seed::run(),
        Program::WarmUp => warm_up::run(),
        Program::Ready => ready::run(),
        Program::Smoke => smoke::run(),
        Program::Provision(provision) => provision.run(),
    }
}
