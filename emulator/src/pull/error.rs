//! Why an image could not be pulled.

use std::sync::Arc;

use fetch::download::Kind;
use image::arch::Arch;
use instances::images;
use release::github::address::NoAddress;
use release::github::find::{FindError, Fork};
use release::github::{ApiError, NoToken, Repo};
use vm::error::Explain;

use crate::exit::Exit;

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// No repository was given.
    #[error("no repository given")]
    NoRepo,
    /// There is no image, and none may be pulled.
    #[error("there is no image for {0}, and with `--offline` none is pulled")]
    Offline(Arch),
    /// The address of the API is none.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// The token is none.
    #[error(transparent)]
    Token(#[from] NoToken),
    /// GitHub cannot be talked to.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It is another's code, and no one has accepted that.
    #[error("{origin} is code of {}, which is not `{repo}`", owner(.fork))]
    Fork { origin: String, repo: Repo, fork: Fork },
    /// What was to be downloaded without the API is not there, and so it is the API that has to be asked.
    #[error(transparent)]
    Unasked(Arc<ApiError>),
    /// It cannot be fetched, used or put in its place.
    #[error(transparent)]
    Image(#[from] Box<images::pull::PullError>),
}

impl PullError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoRepo | Self::Address(_) | Self::Token(_) | Self::Fork { .. } => Exit::Usage,
            Self::Api(ApiError::Client(error)) if error.is_about_variables() => Exit::Usage,
            Self::Unasked(_) => Exit::Access,
            Self::Api(error) if error.is_about_access() => Exit::Access,
            Self::Find(error) if error.is_about_access() => Exit::Access,
            Self::Api(error) if error.is_timeout() => Exit::TimedOut,
            Self::Find(error) if error.is_timeout() => Exit::TimedOut,
            Self::Image(error) => match &**error {
                images::pull::PullError::Download { source, .. } if source.kind() == Kind::Access => {
                    Exit::Access
                }
                other => other.class().into(),
            },
            Self::Offline(_) | Self::Api(_) | Self::Find(_) => Exit::Failed,
        }
    }
}

/// Whose code it is, for people.
pub(super) fn owner(fork: &Fork) -> String {
    match &fork.repo {
        Some(repo) => format!("`{repo}` at {}", fork.sha),
        None => format!("a repository that is gone, at {}", fork.sha),
    }
}
