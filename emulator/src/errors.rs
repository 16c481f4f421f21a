//! Errors as a person meets them, and the exit code of each.

use std::error::Error as _;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use base::advice;
use base::interrupt::Interrupted;
use base::process::ProcessError;
use instances::failure::Error;
use instances::images::pull;
use instances::instance::error::InstanceError;
use instances::name::{InstanceName, InvalidName};
use protocol::exec::FailureKind;
use serde::Serialize;
use vm::error::{Class, Explain};
use vm::exec::ExecError;
use vm::home::HomeError;

use crate::diagnosis::DiagnosisError;
use crate::exit::{self, Exit, NotStarted};
use crate::pull::PullError;
use crate::settings::SettingsError;
use crate::target::InvalidVariable;
use crate::uninstallation::UninstallError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// What the libraries say.
    #[error(transparent)]
    Instance(#[from] InstanceError),
    /// What the libraries say about the machine below.
    #[error(transparent)]
    Vm(#[from] instances::failure::Error),
    /// No image could be pulled.
    #[error(transparent)]
    Pull(#[from] Box<PullError>),
    /// A signal came first.
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
    /// The environment names no valid instance.
    #[error(transparent)]
    Variable(#[from] InvalidVariable),
    /// The name of one of several instances is too long.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A file of settings cannot be used.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No report of a fault can be made.
    #[error(transparent)]
    Diagnosis(#[from] DiagnosisError),
    /// The program is not removed, or not all of it.
    #[error(transparent)]
    Uninstall(#[from] UninstallError),
    /// There is no place for files.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The home is somebody else's.
    #[error("the home `{}` is closed to you: it belongs to {}", path.display(), advice::name(*owner))]
    ForeignHome {
        /// The home.
        path: PathBuf,
        /// The user that it belongs to.
        owner: u32,
    },
    /// The instance is one of another stack than the one that is asked for.
    #[error("the instance `{name}` belongs to the stack `{own}`, not to `{asked}`")]
    OtherStack {
        /// The instance.
        name: InstanceName,
        /// Its stack.
        own: String,
        /// The one that is asked for.
        asked: String,
    },
    /// No instance is named, where one has to be.
    #[error("no instance to delete is named")]
    Unnamed,
    /// No one is there to answer the question.
    #[error("`{}` would throw away the data of {whose}, and there is no terminal to ask on", verb(command))]
    NotConfirmed {
        /// The command, as a person types it.
        command: String,
        /// Whose data it is.
        whose: String,
    },
    /// A value cannot be written in the format that was asked for.
    #[error(
        "the value of `{variable}` cannot be written in this format so that every program reads the same"
    )]
    Unwritable {
        /// The variable.
        variable: String,
        /// The instance.
        name: InstanceName,
    },
    /// The user's command cannot be run.
    #[error(transparent)]
    Command(#[from] ProcessError),
    /// stdout is full or broken.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
    /// The question cannot be asked.
    #[error("cannot ask on the terminal")]
    Ask(#[source] dialoguer::Error),
    /// The operating system refuses what every program needs.
    #[error("cannot start")]
    Runtime(#[source] io::Error),
}

impl CommandError {
    /// The exit code that tells a script what happened.
    pub(crate) fn exit(&self) -> ExitCode {
        self.outcome().map_or_else(exit::interrupted, Exit::into)
    }

    /// The word that tells a program the same.
    pub(crate) fn word(&self) -> &'static str {
        self.outcome().map_or("interrupted", Exit::word)
    }

    /// How the command ended, or the number of the signal that ended it.
    fn outcome(&self) -> Result<Exit, i32> {
        Ok(match self {
            Self::Interrupted(Interrupted(signal)) => return Err(*signal),
            Self::Instance(error) | Self::Uninstall(UninstallError::Instance(error)) => error.class().into(),
            Self::Vm(error) => error.class().into(),
            Self::Home(error) => error.class().into(),
            Self::Pull(error) => error.exit(),
            Self::NotConfirmed { .. }
            | Self::Uninstall(UninstallError::NotConfirmed)
            | Self::Settings(_)
            | Self::Variable(_)
            | Self::OtherStack { .. }
            | Self::Unnamed
            | Self::Name(_) => Exit::Usage,
            Self::Command(_)
            | Self::Diagnosis(_)
            | Self::Uninstall(_)
            | Self::ForeignHome { .. }
            | Self::Unwritable { .. }
            | Self::Stdout(_)
            | Self::Ask(_)
            | Self::Runtime(_) => Exit::Failed,
        })
    }

    /// The exit code where the command was to run one of the user's.
    pub(crate) fn exit_of_wrapper(&self) -> ExitCode {
        match self {
            Self::Interrupted(Interrupted(signal)) => exit::interrupted(*signal),
            Self::Command(ProcessError::NotFound { .. } | ProcessError::NoRunner { .. }) => {
                NotStarted::NotFound.into()
            }
            Self::Command(_) => NotStarted::NotExecutable.into(),
            Self::Instance(InstanceError::Vm(Error::Exec(ExecError::Failed { kind, .. }))) => match kind {
                FailureKind::NotFound => NotStarted::NotFound.into(),
                FailureKind::NotExecutable => NotStarted::NotExecutable.into(),
                FailureKind::NotRunning | FailureKind::Other => NotStarted::Failed.into(),
            },
            _ => NotStarted::Failed.into(),
        }
    }
}

/// The first word of a command.
fn verb(command: &str) -> &str {
    command.split(' ').next().unwrap_or_default()
}

/// An error, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ErrorView {
    /// What kind of failure it is, as the exit code says: a word that does not change.
    code: &'static str,
    message: String,
    /// What it was caused by, one after the other.
    causes: Vec<String>,
    /// What to do about it.
    hint: Option<String>,
}

impl ErrorView {
    /// Of this error, with its hint.
    pub(crate) fn of(error: &CommandError, hint: Option<String>) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        Self { code: error.word(), message: error.to_string(), causes, hint }
    }

    /// Of a command line that is not understood.
    pub(crate) fn of_usage(message: String, hint: String) -> Self {
        Self { code: Exit::Usage.word(), message, causes: Vec::new(), hint: Some(hint) }
    }
}

impl From<Class> for Exit {
    fn from(class: Class) -> Self {
        match class {
            Class::Failed => Self::Failed,
            Class::Usage => Self::Usage,
            Class::NotRunning => Self::NotRunning,
            Class::HostUnsupported => Self::HostUnsupported,
            Class::TimedOut => Self::TimedOut,
            Class::VerificationFailed => Self::VerificationFailed,
        }
    }
}

/// A person who presses Ctrl-C at a question has interrupted the command, not broken it.
impl From<dialoguer::Error> for CommandError {
    fn from(error: dialoguer::Error) -> Self {
        let dialoguer::Error::IO(source) = &error;
        if source.kind() == io::ErrorKind::Interrupted { Interrupted(2).into() } else { Self::Ask(error) }
    }
}

impl From<PullError> for CommandError {
    fn from(error: PullError) -> Self {
        Self::Pull(Box::new(error))
    }
}

impl From<pull::PullError> for CommandError {
    fn from(error: pull::PullError) -> Self {
        PullError::from(Box::new(error)).into()
    }
}
