//! What every command is given: the home, the instance, stdout and stderr.

use host::console::Console;
use release::arch::Arch;
use vm::home::Home;
use vm::instance::Instance;
use vm::instance::name::InstanceName;

use crate::cli::Global;
use crate::errors::CommandError;
use crate::printer::Printer;

/// What every command is given.
pub(crate) struct Context<'a> {
    pub(crate) home: Home,
    pub(crate) name: InstanceName,
    /// The architecture that was asked for.
    pub(crate) arch: Option<Arch>,
    pub(crate) printer: Printer,
    pub(crate) console: &'a Console,
}

impl<'a> Context<'a> {
    /// For the flags that every command has.
    pub(crate) fn new(global: &Global, console: &'a Console) -> Result<Self, CommandError> {
        let home = Home::from_env()?;
        let printer = Printer::new(global.format());
        Ok(Self { home, name: global.instance(), arch: global.arch, printer, console })
    }

    /// The instance that the command acts on.
    pub(crate) fn instance(&self) -> Instance {
        Instance::new(&self.home, self.name.clone())
    }
}
