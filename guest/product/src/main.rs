//! `stackd` of the built-in stack: the product's programs beside the platform's, in one static binary.

mod backend;
mod checks;
mod cron;
mod dashboard;
mod keys;
mod local_admin;
mod migrate;
mod request;
mod seed;
mod settings;
mod smoke;
mod store;
mod warm_up;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use guest::Platform;

/// Every program inside the virtual machine.
#[derive(Parser)]
#[command(name = "stackd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    program: Program,
}

#[derive(Subcommand)]
enum Program {
    #[command(flatten)]
    Platform(Platform),
    #[cfg(feature = "services")]
    #[command(flatten)]
    Services(services::Programs),
    /// Serve the API
    Backend,
    /// Serve the dashboard
    Dashboard,
    /// Call the backend's periodic tasks
    Cron,
    /// Replace the keys of the internal project in the database when the machine is resumed
    Keys,
    /// Bring the database's schema up to date
    Migrate,
    /// Put the internal project, its keys and the local admin into the database
    Seed,
    /// Call every endpoint once, so that nothing is cold
    WarmUp,
    /// Check the running services from the inside
    Smoke,
}

fn main() -> ExitCode {
    guest::main(|| run(Arguments::parse().program))
}

fn run(program: Program) -> anyhow::Result<ExitCode> {
    let done = match program {
        Program::Platform(platform) => return platform.run(),
        #[cfg(feature = "services")]
        Program::Services(programs) => return programs.run(),
        Program::Backend => backend::run(),
        Program::Dashboard => dashboard::run(),
        Program::Cron => cron::run(),
        Program::Keys => keys::run(),
        Program::Migrate => migrate::run(),
        Program::Seed => seed::run(),
        Program::WarmUp => warm_up::run(),
        Program::Smoke => smoke::run(),
    };
    done.map(|()| ExitCode::SUCCESS)
}
