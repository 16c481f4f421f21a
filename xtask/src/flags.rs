//! The grammar of `cargo xtask`.

use clap::{Args, Parser, Subcommand};
use host::console::Verbosity;

/// Maintainers' commands: build QEMU and the image, test, publish.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// Shows warnings and errors only.
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    quiet: bool,

    /// Shows every line that the steps print.
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

/// One task a file in `tasks/`.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    Test(Test),
}

/// Runs every check and every test, those with virtual machines included.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask test
  cargo xtask test --no-vm
  cargo xtask test --only-vm -- kill")]
pub(crate) struct Test {
    /// Leaves out the tests that boot virtual machines.
    #[arg(long, conflicts_with = "only_vm")]
    pub(crate) no_vm: bool,

    /// Runs nothing but the tests that boot virtual machines.
    #[arg(long)]
    pub(crate) only_vm: bool,

    /// Runs only the tests whose names contain one of these.
    #[arg(last = true)]
    pub(crate) names: Vec<String>,
}

/// Makes a path given on the command line independent of the directory that the tasks run in.
///
/// # Errors
/// When the path is empty or the working directory is gone.
pub(crate) fn absolute_path(text: &str) -> std::io::Result<std::path::PathBuf> {
    std::path::absolute(text)
}
