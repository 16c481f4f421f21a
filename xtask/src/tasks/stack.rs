//! `cargo xtask stack`.

mod check;
mod init;
mod verify;

use base::console::Console;
use clap::{Args, Subcommand};

/// Begin or check the description of a stack, or verify its image
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo xtask stack init ../shop/compose.yaml --write
  cargo xtask stack check ../shop --image web=web.tar --image db=postgres.tar
  cargo xtask build-image amd64 --stack ../shop --image web=web.tar --image db=postgres.tar")]
pub(crate) struct Stack {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Check(check::Check),
    Init(init::Init),
    Verify(verify::Verify),
}

impl Stack {
    /// Does it.
    ///
    /// # Errors
    /// When the stack is not valid, or its image does not work.
    pub(crate) async fn run(self, console: &Console) -> anyhow::Result<()> {
        match self.what {
            What::Check(check) => check.run(console).await,
            What::Init(init) => init.run(console),
            What::Verify(verify) => verify.run(console).await,
        }
    }
}
