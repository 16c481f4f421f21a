//! Where an image is: the release, or the run and its artifact, that holds it.

use host::events::{Event, Reporter};

use super::error::ApiError;
use super::model::{Artifact, Artifacts, PullRequest, Release, Run, Runs};
use super::{GitHub, Repo};
use crate::arch::Arch;
use crate::download::{Pin, Remote};
use crate::names::{IMAGE_WORKFLOW, artifact, is_immutable_tag, rolling_tag};

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
}

/// Whose code it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fork {
    /// `owner/name`; none once that is deleted.
    pub repo: Option<String>,
    /// Commit.
    pub sha: String,
}

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
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Api(source) => return source.hint(),
            Self::NoRelease { anonymous: true, repo, .. } => format!(
                "see what there is with `emulator list-releases --repo {repo}`; a private repository needs `GITHUB_TOKEN`"
            ),
            Self::NoRelease { repo, .. } | Self::NoReleaseOfBranch { repo, .. } | Self::NoAsset { repo, .. } => {
                format!("see what there is with `emulator list-releases --repo {repo}`")
            }
            Self::NoPullRequest { .. } | Self::NoSuchRun { .. } => {
                "name another repository with `--repo OWNER/NAME`".to_owned()
            }
            Self::NoRun { .. } => "images are built when files that are in them change; start a build by hand, or pull a release".to_owned(),
            Self::StillRunning { .. } => "try again when it has ended".to_owned(),
            Self::RunFailed { .. } | Self::NoArtifact { .. } => "look at the run's log".to_owned(),
            Self::Expired { .. } => "run the workflow again, then pull again".to_owned(),
            Self::NeedsToken => "set `GITHUB_TOKEN`, or sign in with `gh auth login`".to_owned(),
        })
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

impl GitHub {
    /// Looks for an image for `arch`.
    ///
    /// # Errors
    /// When there is none, or the API does not say. Releases of public repositories are found also when the API's limit is
    /// used up.
    pub async fn find(
        &self,
        wanted: &Wanted,
        arch: Arch,
        reporter: &dyn Reporter,
    ) -> Result<Found, FindError> {
        match wanted {
            Wanted::Branch(branch) => match self.newest(branch, arch).await {
                Err(FindError::Api(limit @ ApiError::RateLimited { .. })) => {
                    Ok(self.without_api(&rolling_tag(branch), arch, &limit, reporter))
                }
                found => found,
            },
            Wanted::Tag(tag) => match self.release(tag).await {
                Ok(Some(release)) => self.in_release(&release, arch),
                Ok(None) => {
                    let anonymous = self.token.is_none();
                    Err(FindError::NoRelease { repo: self.repo.clone(), tag: tag.clone(), anonymous })
                }
                Err(limit @ ApiError::RateLimited { .. }) => {
                    Ok(self.without_api(tag, arch, &limit, reporter))
                }
                Err(error) => Err(error.into()),
            },
            Wanted::PullRequest(number) => self.of_pull_request(*number, arch).await,
            Wanted::Run(id) => self.of_run(*id, arch, reporter).await,
        }
    }

    /// Published releases that have an image, the newest first; only those of `branch` when one is given.
    ///
    /// # Errors
    /// When the API does not answer.
    pub async fn releases(&self, branch: Option<&str>) -> Result<Vec<Release>, ApiError> {
        let all = self.list("/releases", |page: Vec<Release>| page, |_| false).await?;
        let images = Arch::ALL.map(Arch::image_file);
        let of_branch = |tag: &str| {
            branch.is_none_or(|branch| tag == rolling_tag(branch) || is_immutable_tag(branch, tag))
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
        missing_as_none(self.get(&format!("/releases/tags/{tag}")).await)
    }

    /// The rolling release's image, else that of the newest other release of the branch: the first may be between two.
    async fn newest(&self, branch: &str, arch: Arch) -> Result<Found, FindError> {
        let file = arch.image_file();
        if let Some(rolling) = self.release(&rolling_tag(branch)).await?
            && rolling.asset(&file).is_some()
        {
            return self.in_release(&rolling, arch);
        }
        let fits = |release: &Release| {
            !release.draft && is_immutable_tag(branch, &release.tag_name) && release.asset(&file).is_some()
        };
        let all = self.list("/releases", |page: Vec<Release>| page, |all| all.iter().any(fits)).await?;
        let newest = all.iter().filter(|release| fits(release)).max_by_key(|release| release.published_at);
        match newest {
            Some(release) => self.in_release(release, arch),
            None => {
                Err(FindError::NoReleaseOfBranch { repo: self.repo.clone(), branch: branch.to_owned(), file })
            }
        }
    }

    fn in_release(&self, release: &Release, arch: Arch) -> Result<Found, FindError> {
        let file = arch.image_file();
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
            pin: asset.sha256().map(Pin::sha256),
            may_be_zip: false,
        };
        Ok(Found { origin: format!("release `{}`", release.tag_name), remote, fork: None })
    }

    /// A release's image by the address that needs no API. Neither its size nor its digest is known.
    fn without_api(&self, tag: &str, arch: Arch, limit: &ApiError, reporter: &dyn Reporter) -> Found {
        reporter.report(&Event::Notice(&format!(
            "{limit}: downloading without it; what comes is checked as an image, but no digest is known"
        )));
        let url =
            format!("{}/{}/releases/download/{tag}/{}", self.address.web(), self.repo, arch.image_file());
        let remote = Remote { url, token: None, size: None, pin: None, may_be_zip: false };
        Found { origin: format!("release `{tag}`"), remote, fork: None }
    }

    async fn of_pull_request(&self, number: u64, arch: Arch) -> Result<Found, FindError> {
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
        let remote = self.artifact(run, arch).await?;
        let repo = head.repo.map(|repo| repo.full_name);
        Ok(Found {
            origin: format!("pull request #{number} at {sha}, run {}", run.id),
            remote,
            fork: self.fork(repo, sha),
        })
    }

    async fn of_run(&self, id: u64, arch: Arch, reporter: &dyn Reporter) -> Result<Found, FindError> {
        let run: Option<Run> = missing_as_none(self.get(&format!("/actions/runs/{id}")).await)?;
        let run = run.ok_or_else(|| FindError::NoSuchRun { repo: self.repo.clone(), id })?;
        let remote = match (self.artifact(&run, arch).await, run.conclusion.as_deref()) {
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
        Ok(Found { origin: format!("run {id} of {}", run.head_sha), remote, fork })
    }

    /// The run's artifact with the image: a zip by its own name, or the file itself by that of the file.
    async fn artifact(&self, run: &Run, arch: Arch) -> Result<Remote, FindError> {
        let names = [artifact(arch), arch.image_file()];
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
            pin: artifact.sha256().map(Pin::sha256),
            may_be_zip: true,
        })
    }

    fn fork(&self, repo: Option<String>, sha: String) -> Option<Fork> {
        let own = self.repo.to_string();
        let is_own = repo.as_ref().is_some_and(|repo| repo.eq_ignore_ascii_case(&own));
        (!is_own).then_some(Fork { repo, sha })
    }
}

fn missing_as_none<T>(answer: Result<T, ApiError>) -> Result<Option<T>, ApiError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ApiError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "nothing".to_owned();
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fake_github::{self as fake, Content, Fault, Place, Rule};
    use host::events::Silent;
    use protocol::Secret;
    use time::OffsetDateTime;

    use super::*;
    use crate::github::{Address, Token};

    const REPO: &str = "stack/emulator";
    const IMAGE: &str = "stack-emulator-amd64.qcow2";

    struct Server(fake::GitHub);

    impl Server {
        fn new() -> Self {
            let server = fake::GitHub::start();
            server.world().tokens.insert("good".to_owned());
            server.world().repo(REPO);
            Self(server)
        }

        fn release(&self, tag: &str, day: i64, assets: &[&str]) {
            let at = OffsetDateTime::UNIX_EPOCH + time::Duration::days(day);
            let mut world = self.0.world();
            let id = world.add_release(REPO, fake::Release::published(tag, at));
            for name in assets {
                world.add_asset(REPO, id, name, Content::from(format!("{tag} {name}").into_bytes()));
            }
        }

        fn pull(&self, from: &str) {
            let pull = fake::PullRequest::open(from, "dev", "cafe");
            self.0.world().repo(REPO).pulls.insert(7, pull);
        }

        fn run(&self, change: impl FnOnce(&mut fake::Run)) -> u64 {
            let mut run = fake::Run::succeeded(REPO, "dev", "cafe");
            change(&mut run);
            self.0.world().add_run(REPO, run)
        }

        fn artifact(&self, run: u64, name: &str) -> u64 {
            self.0.world().add_artifact(REPO, run, name, Content::from(b"zip".to_vec()))
        }

        async fn find_as(&self, token: Option<&str>, wanted: Wanted) -> Result<Found, FindError> {
            let token = token.map(|token| Token::new(Secret::new(token), "GITHUB_TOKEN"));
            let address = Address::of(&self.0.api_url()).unwrap();
            let github = GitHub::new(address, REPO.parse().unwrap(), token).unwrap();
            github.find(&wanted, Arch::Amd64, &Silent).await
        }

        async fn find(&self, wanted: Wanted) -> Result<Found, FindError> {
            self.find_as(Some("good"), wanted).await
        }

        async fn refusal(&self, wanted: Wanted) -> String {
            self.find(wanted).await.unwrap_err().to_string().replace(&self.0.api_url(), "[api]")
        }
    }

    fn dev() -> Wanted {
        Wanted::Branch("dev".to_owned())
    }

    #[tokio::test]
    async fn the_rolling_release_is_the_newest_one() {
        let server = Server::new();
        server.release("emulator-dev-20260101-00000001", 1, &[IMAGE]);
        server.release("emulator-dev-latest", 0, &[IMAGE]);
        assert_eq!(server.find(dev()).await.unwrap().origin, "release `emulator-dev-latest`");
    }

    #[tokio::test]
    async fn without_an_image_in_the_rolling_release_the_newest_of_that_very_branch_is_taken() {
        let server = Server::new();
        server.release("emulator-dev-latest", 9, &["stack-emulator-amd64.qcow2.new"]);
        server.release("emulator-dev-20260101-00000001", 1, &[IMAGE]);
        server.release("emulator-dev-20260103-00000003", 3, &["stack-emulator-arm64.qcow2"]);
        server.release("emulator-dev-20260102-00000002", 2, &[IMAGE]);
        server.release("emulator-dev-next-20260104-00000004", 4, &[IMAGE]);
        assert_eq!(server.find(dev()).await.unwrap().origin, "release `emulator-dev-20260102-00000002`");
        let error = server.find(Wanted::Branch("main".to_owned())).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "`stack/emulator` has no release of branch `main` with `stack-emulator-amd64.qcow2`"
        );
    }

    #[tokio::test]
    async fn a_release_beyond_the_first_page_is_found() {
        let server = Server::new();
        server.release("emulator-dev-20250101-00000001", 0, &[IMAGE]);
        for number in 0..250 {
            server.release(&format!("v{number}"), 1 + number, &[]);
        }
        assert!(server.find(dev()).await.is_ok());
    }

    #[tokio::test]
    async fn a_tag_names_a_release_and_what_it_lacks_is_told() {
        let server = Server::new();
        server.release("v1", 1, &[IMAGE]);
        server.release("v2", 2, &["stack-emulator-arm64.qcow2"]);
        let found = server.find(Wanted::Tag("v1".to_owned())).await.unwrap();
        let content = format!("v1 {IMAGE}");
        assert_eq!(found.remote.pin, Some(Pin::sha256(host::digest::of_bytes(content.as_bytes()))));
        assert_eq!(found.remote.size, Some(content.len() as u64));
        assert_eq!(
            server.refusal(Wanted::Tag("v2".to_owned())).await,
            "release `v2` of `stack/emulator` has no `stack-emulator-amd64.qcow2`, only `stack-emulator-arm64.qcow2`"
        );
        assert_eq!(
            server.refusal(Wanted::Tag("v3".to_owned())).await,
            "`stack/emulator` has no release `v3`"
        );
    }

    #[tokio::test]
    async fn without_a_token_the_address_is_one_that_needs_no_api_also_when_its_limit_is_used_up() {
        let server = Server::new();
        server.release("emulator-dev-latest", 1, &[IMAGE]);
        let web =
            format!("{}/stack/emulator/releases/download/emulator-dev-latest/{IMAGE}", server.0.web_url());
        let found = server.find_as(None, dev()).await.unwrap();
        assert_eq!((found.remote.url.as_str(), found.remote.pin.is_some()), (web.as_str(), true));
        server.0.world().anonymous_left = Some(0);
        let found = server.find_as(None, dev()).await.unwrap();
        assert_eq!((found.remote.url.as_str(), found.remote.pin.is_some()), (web.as_str(), false));
    }

    #[tokio::test]
    async fn a_pull_request_is_found_by_its_commit_and_a_fork_is_told() {
        let server = Server::new();
        server.pull("mallory/emulator");
        // Another commit of the same branch name must not be taken.
        let other = server.run(|run| run.head_sha = "beef".to_owned());
        server.artifact(other, "qemu-emulator-amd64");
        assert_eq!(
            server.refusal(Wanted::PullRequest(7)).await,
            "no image was built for pull request #7: its head cafe has no run of `.github/workflows/image.yml`"
        );
        let run = server.run(|run| run.head_repo = "mallory/emulator".to_owned());
        let artifact = server.artifact(run, "qemu-emulator-amd64");
        server.artifact(run, "qemu-emulator-arm64");
        let found = server.find(Wanted::PullRequest(7)).await.unwrap();
        let fork = Fork { repo: Some("mallory/emulator".to_owned()), sha: "cafe".to_owned() };
        assert_eq!(found.fork, Some(fork.clone()));
        assert!(found.remote.url.ends_with(&format!("/actions/artifacts/{artifact}/zip")));
        assert!(found.remote.may_be_zip);
        assert_eq!(server.find(Wanted::Run(run)).await.unwrap().fork, Some(fork));
        server.pull(REPO);
        assert_eq!(server.find(Wanted::PullRequest(7)).await.unwrap().fork, None);
    }

    #[tokio::test]
    async fn a_build_that_runs_one_that_failed_and_an_expired_one_are_different_things() {
        let server = Server::new();
        server.pull(REPO);
        let failed = server.run(|run| run.conclusion = Some("failure"));
        let url = |id: u64| format!("https://github.com/stack/emulator/actions/runs/{id}");
        assert_eq!(
            server.refusal(Wanted::PullRequest(7)).await,
            format!("there is no image of cafe: `{}` ended with `failure`", url(failed))
        );
        let running = server.run(|run| (run.status, run.conclusion) = ("in_progress", None));
        let still = format!("the image of cafe is not ready: `{}` is still running", url(running));
        assert_eq!(server.refusal(Wanted::PullRequest(7)).await, still);
        assert_eq!(server.refusal(Wanted::Run(running)).await, still);
        // A linter's run says nothing about images.
        server.run(|run| run.path = ".github/workflows/ci.yml".to_owned());
        assert_eq!(server.refusal(Wanted::PullRequest(7)).await, still);

        let done = server.run(|_| {});
        server.artifact(done, "logs");
        assert_eq!(
            server.refusal(Wanted::PullRequest(7)).await,
            format!("`{}` has no artifact `qemu-emulator-amd64`, only `logs`", url(done))
        );
        let artifact = server.artifact(done, "qemu-emulator-amd64");
        server.0.world().repo(REPO).artifacts.get_mut(&artifact).unwrap().expired = true;
        assert_eq!(
            server.refusal(Wanted::PullRequest(7)).await,
            format!("artifact `qemu-emulator-amd64` of `{}` has expired", url(done))
        );
        assert_eq!(server.refusal(Wanted::PullRequest(8)).await, "`stack/emulator` has no pull request #8");
        assert_eq!(server.refusal(Wanted::Run(99)).await, "`stack/emulator` has no workflow run 99");
    }

    #[tokio::test]
    async fn an_artifact_that_was_uploaded_unzipped_has_the_name_of_the_file() {
        let server = Server::new();
        let run = server.run(|_| {});
        server.artifact(run, IMAGE);
        assert!(server.find(Wanted::Run(run)).await.is_ok());
        let error = server.find_as(None, Wanted::Run(run)).await.unwrap_err();
        assert!(matches!(error, FindError::NeedsToken) && error.is_about_access(), "{error}");
    }

    #[tokio::test]
    async fn what_the_api_refuses_is_told_apart() {
        let server = Server::new();
        server.run(|_| {});
        let error = server.find_as(Some("bad"), dev()).await.unwrap_err();
        assert!(
            error.to_string().ends_with("answered 401: the token of `GITHUB_TOKEN` is not valid"),
            "{error}"
        );
        assert!(error.is_about_access());

        for (status, retry_after) in [(403, false), (429, false), (429, true), (403, true)] {
            let limit = Fault::RateLimit { status, reset_in: Duration::from_mins(10), retry_after };
            server.0.rule(Rule::new(Place::Api, limit));
            let error = server.find(Wanted::Run(1)).await.unwrap_err();
            let text = error.to_string();
            assert!(text.contains("the limit of requests of this token is used up until 20"), "{text}");
            assert!(error.is_about_access());
            server.0.clear_rules();
        }

        server.0.rule(Rule::new(Place::Api, Fault::Status(403)));
        let text = server.refusal(Wanted::Run(1)).await;
        assert!(text.ends_with("answered 403: it was told to fail"), "{text}");
        server.0.clear_rules();

        let private = server.find_as(None, Wanted::Run(99)).await.unwrap_err();
        assert!(!private.is_about_access(), "{private}");

        let api = server.0.api_url();
        drop(server);
        let github = GitHub::new(Address::of(&api).unwrap(), REPO.parse().unwrap(), None).unwrap();
        let error = github.find(&dev(), Arch::Amd64, &Silent).await.unwrap_err();
        assert!(error.to_string().starts_with("cannot reach `http://127.0.0.1:"), "{error}");
        assert!(!error.is_about_access());
    }

    #[tokio::test]
    async fn a_server_that_fails_three_times_is_asked_again() {
        let server = Server::new();
        server.release("v1", 1, &[IMAGE]);
        server.0.rule(Rule::new(Place::Api, Fault::Status(500)).times(3));
        server.find(Wanted::Tag("v1".to_owned())).await.unwrap();
        server.0.rule(Rule::new(Place::Api, Fault::Status(502)));
        let text = server.refusal(Wanted::Tag("v1".to_owned())).await;
        assert!(text.contains("answered 502 Bad Gateway"), "{text}");
    }
}
