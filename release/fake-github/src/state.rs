//! What the server knows: repositories with their releases, pull requests, workflow runs and artifacts.

use std::collections::{BTreeMap, BTreeSet};

use time::OffsetDateTime;

use crate::blob::Content;

/// Everything.
#[derive(Debug, Default)]
pub struct World {
    /// Repositories by `owner/name`.
    pub repos: BTreeMap<String, Repo>,
    /// Tokens that are accepted; any other one is refused with 401.
    pub tokens: BTreeSet<String>,
    /// Whether what is uploaded gets no digest, as on GitHub Enterprise servers of before June 2025.
    pub hides_digests: bool,
    /// How many API requests without a token are left; any number when it is not said.
    pub anonymous_left: Option<u32>,
    /// How many requests a signed address of the storage is good for; any number when it is not said.
    pub signature_uses: Option<u32>,
    /// Contents that redirects lead to, by key.
    pub(crate) signed: BTreeMap<String, Signed>,
    last_id: u64,
}

/// What a signed address gives.
#[derive(Debug, Clone)]
pub(crate) struct Signed {
    pub(crate) content: Content,
    pub(crate) uses_left: Option<u32>,
}

/// A repository.
#[derive(Debug, Default)]
pub struct Repo {
    /// Whether it is hidden from requests without a token.
    pub private: bool,
    /// Releases by id.
    pub releases: BTreeMap<u64, Release>,
    /// Pull requests by number.
    pub pulls: BTreeMap<u64, PullRequest>,
    /// Workflow runs by id.
    pub runs: BTreeMap<u64, Run>,
    /// Artifacts by id.
    pub artifacts: BTreeMap<u64, Artifact>,
    /// Commit of each tag.
    pub tags: BTreeMap<String, String>,
    /// Commits of the default branch, the first one first.
    pub history: Vec<String>,
    /// Commits that change workflows: a client that names one needs the permission to write these, which none has here.
    pub workflow_commits: BTreeSet<String>,
}

/// A release.
#[derive(Debug, Clone)]
pub struct Release {
    /// Its tag; of a draft, the one that it is going to have.
    pub tag: String,
    /// Commit or branch that the tag is made on.
    pub target: String,
    /// Its title.
    pub name: String,
    /// Its notes.
    pub body: String,
    /// Whether only maintainers see it.
    pub draft: bool,
    /// Whether it is marked as a pre-release.
    pub prerelease: bool,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// Assets by id.
    pub assets: BTreeMap<u64, Asset>,
}

/// A file of a release.
#[derive(Debug, Clone)]
pub struct Asset {
    /// File name.
    pub name: String,
    /// The file.
    pub content: Content,
    /// `uploaded`, or `starter` while its upload is not complete.
    pub state: &'static str,
    /// Whether the API reports its digest; GitHub does not for what was uploaded before June 2025.
    pub has_digest: bool,
}

/// A pull request.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// `open` or `closed`.
    pub state: &'static str,
    /// Title.
    pub title: String,
    /// `owner/name` of the repository that it comes from; none once that is deleted.
    pub head_repo: Option<String>,
    /// Branch there.
    pub head_ref: String,
    /// Commit there.
    pub head_sha: String,
}

/// A workflow run.
#[derive(Debug, Clone)]
pub struct Run {
    /// Name of the workflow.
    pub name: String,
    /// Path of the workflow's file.
    pub path: String,
    /// Event that started it.
    pub event: String,
    /// `queued`, `in_progress`, `completed`.
    pub status: &'static str,
    /// `success`, `failure`, `cancelled`; none before it is completed.
    pub conclusion: Option<&'static str>,
    /// Branch that it ran on.
    pub head_branch: String,
    /// Commit that it ran on.
    pub head_sha: String,
    /// `owner/name` of the repository that the commit is in.
    pub head_repo: String,
    /// When it began.
    pub created_at: OffsetDateTime,
}

/// An artifact of a run.
#[derive(Debug, Clone)]
pub struct Artifact {
    /// The run that it belongs to.
    pub run: u64,
    /// Its name.
    pub name: String,
    /// What its download gives: a zip, or the file itself when it was uploaded unzipped.
    pub content: Content,
    /// Whether it is too old to be downloaded.
    pub expired: bool,
    /// Whether the API reports its digest.
    pub has_digest: bool,
    /// When it was uploaded.
    pub created_at: OffsetDateTime,
}

impl World {
    /// The repository `owner/name`, made when it is not there.
    pub fn repo(&mut self, name: &str) -> &mut Repo {
        self.repos.entry(name.to_owned()).or_default()
    }

    /// A number that nothing has yet.
    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Adds a release and returns its id.
    pub fn add_release(&mut self, repo: &str, release: Release) -> u64 {
        let id = self.next_id();
        let repo = self.repo(repo);
        if !release.draft {
            repo.tags.insert(release.tag.clone(), release.target.clone());
        }
        repo.releases.insert(id, release);
        id
    }

    /// Adds a file to a release and returns the asset's id.
    pub fn add_asset(&mut self, repo: &str, release: u64, name: &str, content: Content) -> u64 {
        let id = self.next_id();
        let asset = Asset { name: name.to_owned(), content, state: "uploaded", has_digest: true };
        self.repo(repo).releases.get_mut(&release).expect("the release is there").assets.insert(id, asset);
        id
    }

    /// Adds a run and returns its id.
    pub fn add_run(&mut self, repo: &str, run: Run) -> u64 {
        let id = self.next_id();
        self.repo(repo).runs.insert(id, run);
        id
    }

    /// Adds an artifact to a run and returns its id.
    pub fn add_artifact(&mut self, repo: &str, run: u64, name: &str, content: Content) -> u64 {
        let id = self.next_id();
        let artifact = Artifact {
            run,
            name: name.to_owned(),
            content,
            expired: false,
            has_digest: true,
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        self.repo(repo).artifacts.insert(id, artifact);
        id
    }

    /// Path and query of a new signed address in the storage that gives `content`.
    pub(crate) fn sign(&mut self, content: Content) -> String {
        let key = self.next_id().to_string();
        let uses_left = self.signature_uses;
        self.signed.insert(key.clone(), Signed { content, uses_left });
        format!("/content/{key}?sig=secret")
    }
}

impl Release {
    /// A published pre-release without assets.
    pub fn published(tag: &str, created_at: OffsetDateTime) -> Self {
        Self {
            tag: tag.to_owned(),
            target: "main".to_owned(),
            name: tag.to_owned(),
            body: String::new(),
            draft: false,
            prerelease: true,
            created_at,
            assets: BTreeMap::new(),
        }
    }
}

impl PullRequest {
    /// An open pull request from `head_repo` at `head_sha`.
    pub fn open(head_repo: &str, head_ref: &str, head_sha: &str) -> Self {
        Self {
            state: "open",
            title: "a change".to_owned(),
            head_repo: Some(head_repo.to_owned()),
            head_ref: head_ref.to_owned(),
            head_sha: head_sha.to_owned(),
        }
    }
}

impl Run {
    /// A run for a pull request that has succeeded.
    pub fn succeeded(head_repo: &str, head_branch: &str, head_sha: &str) -> Self {
        Self {
            name: "image".to_owned(),
            path: ".github/workflows/image.yml".to_owned(),
            event: "pull_request".to_owned(),
            status: "completed",
            conclusion: Some("success"),
            head_branch: head_branch.to_owned(),
            head_sha: head_sha.to_owned(),
            head_repo: head_repo.to_owned(),
            created_at: OffsetDateTime::UNIX_EPOCH,
        }
    }
}
