//! Where an image is: the release, or the run and its artifact, that holds it.

use std::sync::Arc;

use base::events::{Event, Reporter};

use super::error::ApiError;
use super::model::{Artifact, Artifacts, PullRequest, Release, Run, Runs};
use super::{GitHub, missing_as_none, segment};
use crate::names::{IMAGE_WORKFLOW, Names};
use fetch::Refusal;
use fetch::download::{ANY_BYTES, Pin, Remote};
use image::arch::Arch;

mod error;

pub use error::FindError;

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// The newest release of a branch.
    Branch(String),
    /// The release with this tag.
    Tag(String),
    /// The newest successful run for the head of this pull request.
    PullRequest(u64),
    /// The run with this number.
    Run(u64),
}

/// An image that can be downloaded.
#[derive(Debug, Clone)]
pub struct Found {
    /// What it is from, for people: "release `emulator-dev-latest`".
    pub origin: String,
    /// Where its bytes are.
    pub remote: Remote,
    /// Whose code is in it, when that is not the repository's own.
    pub fork: Option<Fork>,
    /// Why the API could not be asked, if so: the address is then one that needs no API, size and digest are not known, nor is it
    /// known whether there is such a file.
    pub unasked: Option<Arc<ApiError>>,
}

/// Whose code it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// `owner/name`; none once that is deleted.
    pub repo: Option<String>,
    /// Commit.
    pub sha: String,
}

impl GitHub {
    /// Looks for the image for `arch` that has one of `names`.
    ///
    /// # Errors
    /// When there is none, or the API does not say. Releases of public repositories are found also when the API's limit is
    /// used up.
    pub async fn find(
        &self,
        wanted: &Wanted,
        names: &Names,
        arch: Arch,
        reporter: &dyn Reporter,
    ) -> Result<Found, FindError> {
        let file = names.file(arch);
        match wanted {
            Wanted::Branch(branch) => match self.newest(branch, names, file.clone()).await {
                Err(FindError::Api(limit @ ApiError::Refused(Refusal::RateLimited { .. }))) => {
                    Ok(self.without_api(&names.rolling_tag(branch), &file, limit))
                }
                found => found,
            },
            Wanted::Tag(tag) => match self.release(tag).await {
                Ok(Some(release)) => self.in_release(&release, file),
                Ok(None) => {
                    let anonymous = self.token.is_none();
                    Err(FindError::NoRelease { repo: self.repo.clone(), tag: tag.clone(), anonymous })
                }
                Err(limit @ ApiError::Refused(Refusal::RateLimited { .. })) => {
                    Ok(self.without_api(tag, &file, limit))
                }
                Err(error) => Err(error.into()),
            },
            Wanted::PullRequest(number) => self.of_pull_request(*number, names, arch).await,
            Wanted::Run(id) => self.of_run(*id, names, arch, reporter).await,
        }
    }

    /// Published releases that have an image with one of `names`, the newest first; only those of `branch` when one is given.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn releases(&self, names: &Names, branch: Option<&str>) -> Result<Vec<Release>, ApiError> {
        let all = self.list("/releases", |page: Vec<Release>| page, |_| false).await?;
        let images = Arch::ALL.map(|arch| names.file(arch));
        let of_branch = |tag: &str| {
            branch
                .is_none_or(|branch| tag == names.rolling_tag(branch) || names.is_immutable_tag(branch, tag))
        };
        let wanted = |release: &Release| {
            !release.draft
                && of_branch(&release.tag_name)
                && images.iter().any(|file| release.asset(file).is_some())
        };
        let mut releases: Vec<_> = all.into_iter().filter(wanted).collect();
        releases.sort_by_key(|release| std::cmp::Reverse(release.published_at));
        Ok(releases)
    }

    /// The published release with this tag.
    pub(crate) async fn release(&self, tag: &str) -> Result<Option<Release>, ApiError> {
        missing_as_none(self.get(&format!("/releases/tags/{}", segment(tag))).await)
    }

    /// The rolling release's image, else that of the newest other release of the branch: the first may be between two.
    async fn newest(&self, branch: &str, names: &Names, file: String) -> Result<Found, FindError> {
        if let Some(rolling) = self.release(&names.rolling_tag(branch)).await?
            && rolling.asset(&file).is_some()
        {
            return self.in_release(&rolling, file);
        }
        let fits = |release: &Release| {
            let is_of_branch = names.is_immutable_tag(branch, &release.tag_name);
            !release.draft && is_of_branch && release.asset(&file).is_some()
        };
        let all = self.list("/releases", |page: Vec<Release>| page, |all| all.iter().any(fits)).await?;
        let newest = all.iter().filter(|release| fits(release)).max_by_key(|release| release.published_at);
        match newest {
            Some(release) => self.in_release(release, file),
            None => {
                Err(FindError::NoReleaseOfBranch { repo: self.repo.clone(), branch: branch.to_owned(), file })
            }
        }
    }

    fn in_release(&self, release: &Release, file: String) -> Result<Found, FindError> {
        let asset = release.asset(&file).ok_or_else(|| FindError::NoAsset {
            repo: self.repo.clone(),
            tag: release.tag_name.clone(),
            file,
            present: release.assets.iter().map(|asset| asset.name.clone()).collect(),
        })?;
        // The API's own address is the one that works for private repositories; the other one does not count.
        let url = if self.token.is_some() { &asset.url } else { &asset.browser_download_url };
        let remote = Remote {
            url: url.clone(),
            token: self.token.clone(),
            size: Some(asset.size),
            pin: asset.sha256.map(Pin::Sha256),
            may_be_zip: false,
            accept: ANY_BYTES,
        };
        Ok(Found { origin: format!("release `{}`", release.tag_name), remote, fork: None, unasked: None })
    }

    /// A release's image by the address that needs no API.
    fn without_api(&self, tag: &str, file: &str, limit: ApiError) -> Found {
        let web = self.address.web();
        let url = format!("{web}/{}/releases/download/{}/{file}", self.repo, segment(tag));
        let remote = Remote { url, token: None, size: None, pin: None, may_be_zip: false, accept: ANY_BYTES };
        Found { origin: format!("release `{tag}`"), remote, fork: None, unasked: Some(Arc::new(limit)) }
    }

    async fn of_pull_request(&self, number: u64, names: &Names, arch: Arch) -> Result<Found, FindError> {
        let pull: Option<PullRequest> = missing_as_none(self.get(&format!("/pulls/{number}")).await)?;
        let head = pull.ok_or_else(|| FindError::NoPullRequest { repo: self.repo.clone(), number })?.head;
        // By commit, never by branch: a fork's `dev` is not the repository's.
        let route = format!("/actions/runs?head_sha={}", head.sha);
        let runs = self.list(&route, |page: Runs| page.workflow_runs, |_| false).await?;
        let runs: Vec<Run> = runs
            .into_iter()
            .filter(|run| run.head_sha == head.sha && run.path.starts_with(IMAGE_WORKFLOW))
            .collect();
        let sha = head.sha.clone();
        let succeeded = runs.iter().find(|run| run.conclusion.as_deref() == Some("success"));
        let Some(run) = succeeded else {
            return Err(match runs.into_iter().next() {
                None => FindError::NoRun { number, sha },
                Some(Run { conclusion: Some(conclusion), html_url: url, .. }) => {
                    FindError::RunFailed { sha, conclusion, url }
                }
                Some(Run { html_url: url, .. }) => FindError::StillRunning { sha, url },
            });
        };
        let remote = self.artifact(run, names, arch).await?;
        let repo = head.repo.map(|repo| repo.full_name);
        Ok(Found {
            origin: format!("pull request #{number} at {sha}, run {}", run.id),
            remote,
            fork: self.fork(repo, sha),
            unasked: None,
        })
    }

    async fn of_run(
        &self,
        id: u64,
        names: &Names,
        arch: Arch,
        reporter: &dyn Reporter,
    ) -> Result<Found, FindError> {
        let run: Option<Run> = missing_as_none(self.get(&format!("/actions/runs/{id}")).await)?;
        let run = run.ok_or_else(|| FindError::NoSuchRun { repo: self.repo.clone(), id })?;
        let remote = match (self.artifact(&run, names, arch).await, run.conclusion.as_deref()) {
            (Ok(remote), Some("success")) => remote,
            (Ok(remote), conclusion) => {
                let state =
                    conclusion.map_or("is still running".to_owned(), |end| format!("ended with `{end}`"));
                reporter
                    .report(&Event::Warning(&format!("`{}` {state}: its image may not work", run.html_url)));
                remote
            }
            (Err(FindError::NoArtifact { url, .. }), None) => {
                return Err(FindError::StillRunning { sha: run.head_sha, url });
            }
            (Err(FindError::NoArtifact { url, .. }), Some(conclusion)) if conclusion != "success" => {
                return Err(FindError::RunFailed {
                    sha: run.head_sha,
                    conclusion: conclusion.to_owned(),
                    url,
                });
            }
            (Err(error), _) => return Err(error),
        };
        let repo = run.head_repository.map(|repo| repo.full_name);
        let fork = self.fork(repo, run.head_sha.clone());
        Ok(Found { origin: format!("run {id} of {}", run.head_sha), remote, fork, unasked: None })
    }

    /// The run's artifact with the image: a zip by its own name, or the file itself by that of the file.
    async fn artifact(&self, run: &Run, names: &Names, arch: Arch) -> Result<Remote, FindError> {
        let names = [names.artifact(arch), names.file(arch)];
        let route = format!("/actions/runs/{}/artifacts", run.id);
        let all = self.list(&route, |page: Artifacts| page.artifacts, |_| false).await?;
        let [name, _] = &names;
        // A re-run leaves its artifacts beside those of the first attempt.
        let fits = |artifact: &&Artifact| names.contains(&artifact.name);
        let newest = all.iter().filter(fits).max_by_key(|artifact| (!artifact.expired, artifact.id));
        let artifact = newest.ok_or_else(|| FindError::NoArtifact {
            url: run.html_url.clone(),
            name: name.clone(),
            present: all.iter().map(|artifact| artifact.name.clone()).collect(),
        })?;
        if artifact.expired {
            return Err(FindError::Expired { url: run.html_url.clone(), name: artifact.name.clone() });
        }
        let token = self.token.clone().ok_or(FindError::NeedsToken)?;
        Ok(Remote {
            url: artifact.archive_download_url.clone(),
            token: Some(token),
            size: Some(artifact.size_in_bytes),
            pin: artifact.sha256.map(Pin::Sha256),
            may_be_zip: true,
            // An artifact is given only to who accepts the API's errors.
            accept: "application/vnd.github+json",
        })
    }

    fn fork(&self, repo: Option<String>, sha: String) -> Option<Fork> {
        let own = self.repo.to_string();
        let is_own = repo.as_ref().is_some_and(|repo| repo.eq_ignore_ascii_case(&own));
        (!is_own).then_some(Fork { repo, sha })
    }
}

#[cfg(test)]
mod tests;
