//! `stackd` of a stack with services and without a product of this repository: the programs of both, in one static binary.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use guest::Platform;
use services::Programs;

/// The platform inside the virtual machine, and services.
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
    #[command(flatten)]
    Services(Programs),
}

fn main() -> ExitCode {
    guest::main(|| match Arguments::parse().program {
        Program::Platform(platform) => platform.run(),
        Program::Services(programs) => programs.run(),
    })
}
