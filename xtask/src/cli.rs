//! The grammar of `cargo xtask`: the flags that every task has.

use base::console::Verbosity;
use clap::Parser;

use crate::tasks::Task;

/// Maintainers' commands: build QEMU and the image, test, publish
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Show warnings and errors only
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Show every line that the steps print
    #[arg(long, short, global = true)]
    verbose: bool,

    #[command(subcommand)]
    pub(crate) task: Task,
}

impl Cli {
    /// How much the console shows.
    pub(crate) fn verbosity(&self) -> Verbosity {
        match (self.quiet, self.verbose) {
            (true, _) => Verbosity::Quiet,
            (_, true) => Verbosity::Verbose,
            _ => Verbosity::Normal,
        }
    }
}
