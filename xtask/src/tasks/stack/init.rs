//! `cargo xtask stack init`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use base::variables;
use clap::Args;
use image_build::containers::{ComposeFile, starting_point};

use super::super::arguments::absolute_path;
use super::super::build_image::{PLATFORM, workspace};

/// Print a commented `x-emulator` for a compose file, to begin with
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask stack init ../shop/compose.yaml
  cargo xtask stack init ../shop/compose.yaml >> ../shop/compose.yaml")]
pub(crate) struct Init {
    /// A compose file, or a directory with one
    #[arg(value_name = "DIR|FILE", value_parser = absolute_path)]
    compose: PathBuf,

    /// Profile whose services are part of the stack
    #[arg(long = "profile", value_name = "NAME")]
    profiles: Vec<String>,
}

impl Init {
    /// Reads the file and prints what could be added to it.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let path = ComposeFile::at(&self.compose)
            .with_context(|| format!("there is no compose file in `{}`", self.compose.display()))?;
        let file = ComposeFile { path, profiles: self.profiles, images: Vec::new() };
        let project = file.read(variables::text)?;
        anyhow::ensure!(
            project.emulator == compose::model::emulator::StackEmulator::default(),
            "`{}` has an `x-emulator` already",
            file.path.display()
        );
        let text = starting_point(&project, &file.natives(&project, &workspace()?.join(PLATFORM))?);
        io::stdout().write_all(text.as_bytes()).context("cannot write to stdout")
    }
}
