//! What goes wrong while a plan is carried out.

use base::digest::Sha256;
use base::files::FileError;

use fetch::Refusal;

use crate::github::ApiError;

/// Why a plan was not carried out to its end. The next attempt resumes there.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The API refused, or did not answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no token.
    #[error("publishing needs a token, and there is none")]
    NoToken,
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// An upload broke off.
    #[error("the upload of `{name}` to `{url}` broke off")]
    BrokenOff {
        /// The asset.
        name: String,
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// An upload stood still.
    #[error("the upload of `{name}` to `{url}` stood still for {seconds} s")]
    Stalled {
        /// The asset.
        name: String,
        /// The address.
        url: String,
        /// How long.
        seconds: u64,
    },
    /// GitHub has other bytes than were sent.
    #[error("`{name}` of release `{tag}` is not what was uploaded: expected {expected}, found {found}")]
    Digest {
        /// The release.
        tag: String,
        /// The asset.
        name: String,
        /// The digest of the file.
        expected: Sha256,
        /// What the API says.
        found: String,
    },
    /// An asset that was there is gone.
    #[error("`{name}` of release `{tag}` was removed by another process")]
    Missing {
        /// The release.
        tag: String,
        /// The asset.
        name: String,
    },
    /// An immutable release is published, and lacks a file.
    #[error("release `{tag}` is published already, without `{name}`: what is published never changes")]
    PublishedWithout {
        /// The release.
        tag: String,
        /// The asset.
        name: String,
    },
    /// An immutable release is published, and has something else in it.
    #[error(
        "release `{tag}` is published already, with another `{name}`: its digest is {found}, that of the file here {expected}"
    )]
    Published {
        /// The release.
        tag: String,
        /// The asset.
        name: String,
        /// The digest of the file.
        expected: Sha256,
        /// What the API says.
        found: String,
    },
}

impl PublishError {
    /// Whether doing it again may succeed in a moment. What has arrived spoilt is uploaded again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Api(error) => error.is_passing(),
            Self::BrokenOff { .. } | Self::Stalled { .. } | Self::Digest { .. } | Self::Missing { .. } => {
                true
            }
            Self::NoToken | Self::File(_) | Self::Published { .. } | Self::PublishedWithout { .. } => false,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Api(ApiError::Refused(Refusal::Forbidden { .. }) | ApiError::NotFound { .. }) => Some(
                "use a token that may write the repository's contents; in GitHub Actions, give the job `contents: write`"
                    .to_owned(),
            ),
            Self::Api(error) => error.hint(),
            Self::NoToken => Some(
                "set `GITHUB_TOKEN` to a token that may write the repository's contents, or sign in with `gh auth login`"
                    .to_owned(),
            ),
            Self::BrokenOff { .. } | Self::Stalled { .. } | Self::Digest { .. } | Self::Missing { .. } => {
                Some("publish again: it resumes where it stopped".to_owned())
            }
            Self::Published { .. } | Self::PublishedWithout { .. } => {
                Some("publish an image of another commit, or delete that release if it is unused".to_owned())
            }
            Self::File(_) => None,
        }
    }
}
