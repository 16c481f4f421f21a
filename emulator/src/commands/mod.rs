//! The list of commands. One command a file: its flags, its help and what it does.

use clap::Subcommand;

use crate::context::{Context, HomeUse};
use crate::errors::CommandError;
use crate::exit::Exit;

mod capture;
mod completions;
mod config_file;
mod confirm;
mod delete;
mod diagnose;
mod doctor;
mod du;
mod env;
mod exec;
mod images;
mod launch;
mod list;
mod list_releases;
mod logs;
mod machine;
mod patience;
mod prune;
mod pull;
mod reset;
mod rotate;
mod run;
mod several;
mod start;
mod status;
mod stop;
mod uninstall;
mod version;
mod wait;
mod watch;

/// A command. Its flags are the type, and its help is the type's documentation.
pub(crate) trait Run {
    /// What it does with the home.
    const HOME_USE: HomeUse;

    /// Whether it runs a command of the user's: its exit code is that command's, its own failures have codes that tell them
    /// apart, and it reacts to signals itself.
    const WRAPS: bool = false;

    /// Does it, and says how it ended.
    async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError>;

    /// The same for these flags: with `--dry-run` a command that removes things only looks.
    fn home_use(&self) -> HomeUse {
        Self::HOME_USE
    }

    /// Whether it continues until Ctrl-C, which is its usual end then.
    fn until_interrupted(&self) -> bool {
        false
    }

    /// Tidies up after a signal has cut it short. What it had begun is dropped by then.
    async fn interrupted(&self, _context: &Context<'_>) -> Result<(), CommandError> {
        Ok(())
    }
}

/// Makes of the list of commands the grammar, the groups of the help and the one way to each of them.
macro_rules! commands {
    (
        $($title:literal { $($name:ident($args:ty),)+ })+
        hidden { $($hidden:ident($hidden_args:ty),)+ }
    ) => {
        /// What to do.
        #[derive(Debug, Subcommand)]
        pub(crate) enum Command {
            $($($name($args),)+)+
            $(#[command(hide = true)] $hidden($hidden_args),)+
        }

        /// The commands by what they are for, in the order of `--help`: a title, and how many there are.
        pub(crate) const GROUPS: &[(&str, usize)] = &[$(($title, [$(stringify!($name)),+].len())),+];

        impl Command {
            /// What it does with the home.
            pub(crate) fn home_use(&self) -> HomeUse {
                match self {
                    $($(Self::$name(args) => args.home_use(),)+)+
                    $(Self::$hidden(args) => args.home_use(),)+
                }
            }

            /// Whether it runs a command of the user's.
            pub(crate) fn wraps(&self) -> bool {
                match self {
                    $($(Self::$name(_) => <$args as Run>::WRAPS,)+)+
                    $(Self::$hidden(_) => <$hidden_args as Run>::WRAPS,)+
                }
            }

            /// Whether the command with this name does.
            pub(crate) fn wraps_by_name(name: &str) -> bool {
                $($((stringify!($name).eq_ignore_ascii_case(name) && <$args as Run>::WRAPS) ||)+)+ false
            }

            /// Does it, and says how it ended.
            pub(crate) async fn run(&self, context: &Context<'_>) -> Result<Exit, CommandError> {
                match self {
                    $($(Self::$name(command) => command.run(context).await,)+)+
                    $(Self::$hidden(command) => command.run(context).await,)+
                }
            }

            /// Whether it continues until Ctrl-C, which is its usual end then.
            pub(crate) fn until_interrupted(&self) -> bool {
                match self {
                    $($(Self::$name(command) => command.until_interrupted(),)+)+
                    $(Self::$hidden(command) => command.until_interrupted(),)+
                }
            }

            /// Tidies up after a signal has cut it short.
            pub(crate) async fn interrupted(&self, context: &Context<'_>) -> Result<(), CommandError> {
                match self {
                    $($(Self::$name(command) => command.interrupted(context).await,)+)+
                    $(Self::$hidden(command) => command.interrupted(context).await,)+
                }
            }
        }
    };
}

commands! {
    "Run the emulator" {
        Start(start::Start),
        Run(run::RunCommand),
        Stop(stop::Stop),
        Wait(wait::Wait),
        Status(status::Status),
        List(list::List),
        Env(env::Env),
        Exec(exec::Exec),
        Logs(logs::Logs),
        Rotate(rotate::Rotate),
        Reset(reset::Reset),
        Delete(delete::Delete),
    }
    "Images" {
        Pull(pull::Pull),
        ListReleases(list_releases::ListReleases),
        Images(images::Images),
        Prune(prune::Prune),
        Du(du::Du),
    }
    "This program and this machine" {
        Capture(capture::Capture),
        Doctor(doctor::Doctor),
        Diagnose(diagnose::Diagnose),
        Version(version::Version),
        Completions(completions::Completions),
        Uninstall(uninstall::Uninstall),
    }
    hidden {
        Watch(watch::Watch),
    }
}
