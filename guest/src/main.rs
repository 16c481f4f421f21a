//! `stackd` of a stack without a product of this repository: the platform's programs, and no others.

use std::process::ExitCode;

use clap::Parser;
use guest::Platform;

/// The platform inside the virtual machine.
#[derive(Parser)]
#[command(name = "stackd", version, arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    program: Platform,
}

fn main() -> ExitCode {
    guest::main(|| Arguments::parse().program.run())
}
