//! The configuration file of a project, for the commands that give out its variables.

use std::path::PathBuf;

use clap::Args;

/// The configuration file whose project the variables are of.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// Configuration file of a project: the variables are those of its project, which the running
    /// stack creates when it first sees the file
    #[arg(long = "config-file", value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}
