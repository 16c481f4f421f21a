//! The grammar of `cargo xtask`.

use clap::{Parser, Subcommand};
use host::console::Verbosity;

/// Maintainers' commands: build QEMU and the image, test, measure, publish.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub struct Cli {
    /// Shows warnings and errors only.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Shows every line that the steps print.
    #[arg(long, short, global = true)]
    verbose: bool,

    #[command(subcommand)]
    pub task: Task,
}

impl Cli {
    /// How much the console shows.
    pub fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}

/// One task a file in `tasks/`.
#[derive(Debug, Subcommand)]
pub enum Task {}
