//! `cargo xtask stack check`.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use base::console::Console;
use clap::Args;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
use image::arch::Arch;
use image::stack::Stack;
use image_build::build::described;

use super::super::arguments::{ComposeArguments, absolute_path};
use super::super::build_image::{PLATFORM, cache, workspace};

/// Check that a stack can be built, without building it, and print what its machines serve
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask stack check ../shop/compose.yaml --image web=web.tar
  cargo xtask stack check ../shop/stack")]
pub(crate) struct Check {
    /// A compose file, a directory with one, or a directory with a `stack.toml`
    #[arg(value_name = "DIR|FILE", value_parser = absolute_path)]
    stack: PathBuf,

    #[command(flatten)]
    compose: ComposeArguments,

    /// Architecture that the images are for; without it this machine's
    #[arg(long, value_name = "amd64|arm64")]
    arch: Option<Arch>,
}

impl Check {
    /// Reads the stack and its images.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        let arch = self.arch.or_else(Arch::host).unwrap_or(Arch::Amd64);
        let (workspace, cache) = (workspace()?, cache()?);
        let platform = workspace.join(PLATFORM);
        let source = self.compose.stack(self.stack)?;
        let stack = described(&workspace, &platform, &source, arch, &cache, console).await?;
        io::stdout().write_all(summary(&stack).as_bytes()).context("cannot write to stdout")
    }
}

/// What the machines of the stack serve.
fn summary(stack: &Stack) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(["PORT", "ADDRESS", "HEALTH", "VARIABLE"]);
    for port in &stack.ports {
        let address = format!("127.0.0.1:{}", port.host);
        table.add_row([port.name.as_str(), &address, port.health.as_deref().unwrap_or("-"), &port.env]);
    }
    let services: Vec<_> = stack.services.iter().map(|service| service.name.as_str()).collect();
    let secrets: Vec<_> = stack.secrets.iter().map(|secret| secret.name.as_str()).collect();
    let list = |names: &[&str]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    format!(
        "stack     {}\nservices  {}\nsecrets   {}\nmachine   {} MiB, {} CPUs, disk of {} GiB\n\n{}\n",
        stack.name,
        list(&services),
        list(&secrets),
        stack.machine.memory_mib,
        stack.machine.cpus,
        stack.machine.disk_gib,
        lines.join("\n")
    )
}
