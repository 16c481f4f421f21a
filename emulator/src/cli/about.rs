//! Flags of the commands about this program and this machine.

use clap::Args;
use clap_complete::Shell;

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes: 0 this machine can run the emulator, 5 it cannot.

Examples:
  emulator doctor
  emulator doctor -o json")]
pub(crate) struct Doctor {}

/// Flags of `version`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator version
  emulator version -o json")]
pub(crate) struct Version {}

/// Flags of `completions`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  emulator completions bash > ~/.local/share/bash-completion/completions/emulator
  emulator completions zsh > ~/.zfunc/_emulator
  emulator completions fish > ~/.config/fish/completions/emulator.fish")]
pub(crate) struct Completions {
    /// The shell
    pub(crate) shell: Shell,
}
