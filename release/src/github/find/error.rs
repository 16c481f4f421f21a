//! Why there is no image to be downloaded, and what to do about it.

use crate::github::{ApiError, Repo};
use crate::names::IMAGE_WORKFLOW;

/// Why there is no image to be downloaded.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// The API does not say.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such release.
    #[error("`{repo}` has no release `{tag}`")]
    NoRelease {
        /// Where it was looked for.
        repo: Repo,
        /// The tag asked for.
        tag: String,
        /// Whether the request had no token.
        anonymous: bool,
    },
    /// No release of the branch has an image.
    #[error("`{repo}` has no release of branch `{branch}` with `{file}`")]
    NoReleaseOfBranch {
        /// Where it was looked for.
        repo: Repo,
        /// The branch asked for.
        branch: String,
        /// The file asked for.
        file: String,
    },
    /// The release has no image for this architecture.
    #[error("release `{tag}` of `{repo}` has no `{file}`, only {}", listed(present))]
    NoAsset {
        /// Where the release is.
        repo: Repo,
        /// Its tag.
        tag: String,
        /// The file asked for.
        file: String,
        /// The files that it has.
        present: Vec<String>,
    },
    /// There is no such pull request.
    #[error("`{repo}` has no pull request #{number}")]
    NoPullRequest {
        /// Where it was looked for.
        repo: Repo,
        /// The number asked for.
        number: u64,
    },
    /// There is no such run.
    #[error("`{repo}` has no workflow run {id}")]
    NoSuchRun {
        /// Where it was looked for.
        repo: Repo,
        /// The number asked for.
        id: u64,
    },
    /// No image was built of the pull request's head.
    #[error("no image was built for pull request #{number}: its head {sha} has no run of `{IMAGE_WORKFLOW}`")]
    NoRun {
        /// The pull request.
        number: u64,
        /// Its head.
        sha: String,
    },
    /// The image is being built.
    #[error("the image of {sha} is not ready: `{url}` is still running")]
    StillRunning {
        /// The commit.
        sha: String,
        /// Page of the run.
        url: String,
    },
    /// The build of the image has failed.
    #[error("there is no image of {sha}: `{url}` ended with `{conclusion}`")]
    RunFailed {
        /// The commit.
        sha: String,
        /// How the run ended.
        conclusion: String,
        /// Page of the run.
        url: String,
    },
    /// The run has left no image for this architecture.
    #[error("`{url}` has no artifact `{name}`, only {}", listed(present))]
    NoArtifact {
        /// Page of the run.
        url: String,
        /// The artifact asked for.
        name: String,
        /// The artifacts that it has.
        present: Vec<String>,
    },
    /// The image was there, and is not kept any more.
    #[error("artifact `{name}` of `{url}` has expired")]
    Expired {
        /// Page of the run.
        url: String,
        /// The artifact.
        name: String,
    },
    /// Artifacts are given to signed-in users only.
    #[error("artifacts of workflow runs can only be downloaded with a token")]
    NeedsToken,
}

impl FindError {
    /// What to do next, where that is the same in every program.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Api(source) => return source.hint(),
            Self::NoRelease { .. }
            | Self::NoReleaseOfBranch { .. }
            | Self::NoAsset { .. }
            | Self::NoPullRequest { .. }
            | Self::NoSuchRun { .. } => return None,
            Self::NoRun { .. } => "images are built when files that are in them change; start a build by hand, or pull a release".to_owned(),
            Self::StillRunning { .. } => "try again when it has ended".to_owned(),
            Self::RunFailed { .. } | Self::NoArtifact { .. } => "look at the run's log".to_owned(),
            Self::Expired { .. } => "run the workflow again, then pull again".to_owned(),
            Self::NeedsToken => "set `GITHUB_TOKEN`, or sign in with `gh auth login`".to_owned(),
        })
    }

    /// Whether nothing came for too long.
    pub fn is_timeout(&self) -> bool {
        matches!(self, Self::Api(source) if source.is_timeout())
    }

    /// Whether it is about who asks.
    pub fn is_about_access(&self) -> bool {
        match self {
            Self::Api(source) => source.is_about_access(),
            Self::NeedsToken => true,
            _ => false,
        }
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
