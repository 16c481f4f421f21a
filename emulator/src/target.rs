//! Which instance a command acts on: the one that it names, else that of the linked worktree that it runs in, else the default one.

use std::sync::OnceLock;

use instances::name::{INSTANCE_VARIABLE, InstanceName, InvalidName};
use instances::worktree::Worktree;
use vm::home::DEFAULT_STACK;

use crate::cli::Cli;
use crate::settings::Settings;

/// The instance that a command without a flag acts on here. Hints need no flag for it.
static HERE: OnceLock<InstanceName> = OnceLock::new();

/// The instance that a command acts on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) name: InstanceName,
    /// The worktree whose instance it is; none where the instance was named, and outside of linked worktrees.
    pub(crate) worktree: Option<Worktree>,
}

/// The variable's value is not a name.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable `{INSTANCE_VARIABLE}` cannot be used")]
pub(crate) struct InvalidVariable(#[source] InvalidName);

impl Target {
    /// For this command line, where this process runs.
    ///
    /// # Errors
    /// When the variable names no instance.
    pub(crate) fn of(cli: &Cli, settings: &Settings) -> Result<Self, InvalidVariable> {
        let named = cli.named_instance();
        let (here, arch) = match settings.variable(INSTANCE_VARIABLE).map(|name| name.parse()) {
            Some(Ok(name)) => (Self::named(name), None),
            Some(Err(invalid)) if named.is_none() => return Err(InvalidVariable(invalid)),
            Some(Err(_)) | None => (Self::around(cli.global.stack.as_deref()), cli.global.arch),
        };
        let _ = HERE.set(here.name.clone());
        let unnamed = || match arch {
            Some(arch) => Self { name: here.name.for_arch(arch), ..here },
            None => here,
        };
        Ok(named.map_or_else(unnamed, Self::named))
    }

    fn named(name: InstanceName) -> Self {
        Self { name, worktree: None }
    }

    /// Where none is named, for this stack.
    fn around(stack: Option<&str>) -> Self {
        let stack = stack.unwrap_or(DEFAULT_STACK);
        let worktree = std::env::current_dir().ok().and_then(|dir| Worktree::around(&dir));
        let name = worktree.as_ref().and_then(|worktree| worktree.instance(stack).ok());
        Self { name: name.unwrap_or_else(|| InstanceName::default_of(stack)), worktree }
    }
}

/// The instance that a command without a flag acts on here.
pub(crate) fn here() -> InstanceName {
    HERE.get().cloned().unwrap_or_default()
}
