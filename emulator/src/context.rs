//! What every command is given: the home, the instance, stdout and stderr.

use std::path::PathBuf;

use base::advice;
use base::console::{Console, Verbosity};
use base::events::{Event, Reporter as _};
use image::arch::Arch;
use instances::instance::Instance;
use instances::instance::fresh::Left;
use instances::name::InstanceName;
use instances::worktree::Worktree;
use vm::home::{HOME_VARIABLE, Home};

use crate::cli::Cli;
use crate::errors::CommandError;
use crate::printer::Printer;
use crate::settings::Settings;
use crate::target::Target;

/// What a command does with the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HomeUse {
    Nothing,
    Looks,
    Writes,
}

/// What every command is given.
pub(crate) struct Context<'a> {
    pub(crate) home: Home,
    pub(crate) name: InstanceName,
    /// The worktree whose instance that is; none where the instance was named, and outside of linked worktrees.
    pub(crate) worktree: Option<Worktree>,
    /// The architecture that was asked for.
    pub(crate) arch: Option<Arch>,
    /// What the files of user and project say.
    pub(crate) settings: &'a Settings,
    pub(crate) printer: Printer,
    pub(crate) console: &'a Console,
    /// Whether every detail was asked for.
    pub(crate) verbose: bool,
    /// What was left of killed runs, and is deleted by now.
    pub(crate) swept: Vec<Left>,
}

impl<'a> Context<'a> {
    /// For this command line.
    pub(crate) fn new(
        cli: &Cli,
        target: Target,
        settings: &'a Settings,
        console: &'a Console,
    ) -> Result<Self, CommandError> {
        let home = home_for(Home::from_env()?, &target.name, cli.global.stack.as_deref())?;
        let verbose = cli.global.verbosity() == Verbosity::Verbose;
        let printer = Printer::new(cli.global.format());
        let Target { name, worktree } = target;
        let (arch, swept) = (cli.global.arch, Vec::new());
        Ok(Self { home, name, worktree, arch, settings, printer, console, verbose, swept })
    }

    /// The same for another instance, with the stack that it belongs to.
    pub(crate) fn about(&self, name: InstanceName) -> Self {
        let Self { home, arch, settings, printer, console, verbose, .. } = self;
        let (arch, printer, verbose) = (*arch, *printer, *verbose);
        let stack = Instance::new(home, name.clone()).stack();
        let home = home.clone().for_stack(stack.unwrap_or_else(|| home.stack().to_owned()));
        let swept = Vec::new();
        Self { home, name, worktree: None, arch, settings, printer, console, verbose, swept }
    }

    /// Refuses a home that is closed to this user, and warns root of one that is somebody else's: what root writes there is root's.
    pub(crate) fn check_owner(&self, home_use: HomeUse) -> Result<(), CommandError> {
        let root = self.home.root();
        let Some((dir, owner)) = advice::stranger(root).filter(|_| home_use != HomeUse::Nothing) else {
            return self.check_writable(home_use);
        };
        if !advice::is_root() {
            let closed = dir == root && advice::is_closed(root);
            return if closed {
                Err(CommandError::ForeignHome { path: dir, owner })
            } else {
                self.check_writable(home_use)
            };
        }
        if home_use == HomeUse::Writes {
            let text = format!(
                "`{}` belongs to {}, and what root writes there is closed to them: run this without `sudo`, or name another home with \
                 `{HOME_VARIABLE}`",
                dir.display(),
                advice::name(owner)
            );
            self.console.report(&Event::Warning(&text));
        }
        Ok(())
    }

    /// Refuses a home that nothing can be written to before anything is begun, with what has named it.
    fn check_writable(&self, home_use: HomeUse) -> Result<(), CommandError> {
        if home_use == HomeUse::Writes { Ok(self.home.check_writable()?) } else { Ok(()) }
    }

    /// The directory that a new instance belongs to. JSON has no other paths than those of UTF-8.
    pub(crate) fn directory(&self) -> Option<PathBuf> {
        let root = self.worktree.as_ref()?.root();
        root.to_str().map(PathBuf::from)
    }

    /// The instance that the command acts on.
    pub(crate) fn instance(&self) -> Instance {
        Instance::new(&self.home, self.name.clone())
    }
}

/// The home with the stack that the instance belongs to, else with the one that is asked for.
fn home_for(home: Home, name: &InstanceName, asked: Option<&str>) -> Result<Home, CommandError> {
    let own = Instance::new(&home, name.clone()).stack();
    match (own, asked) {
        (Some(own), Some(asked)) if own != asked => {
            Err(CommandError::OtherStack { name: name.clone(), own, asked: asked.to_owned() })
        }
        (Some(stack), _) => Ok(home.for_stack(stack)),
        (None, Some(stack)) => Ok(home.for_stack(stack)),
        (None, None) => Ok(home),
    }
}
