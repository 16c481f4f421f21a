//! What the API says, as far as it is read.

use serde::Deserialize;
use time::OffsetDateTime;

/// A release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// Its number.
    pub id: u64,
    /// Its tag; of a draft, the one that it is going to have.
    pub tag_name: String,
    /// Commit or branch that the tag is made on.
    pub target_commitish: String,
    /// Its title.
    pub name: Option<String>,
    /// Its notes.
    pub body: Option<String>,
    /// Whether only maintainers see it.
    pub draft: bool,
    /// Whether it is marked as a pre-release.
    pub prerelease: bool,
    /// When the tagged commit was made; what lists are ordered by.
    #[serde(with = "time::serde::rfc3339")]
    pub created_at: OffsetDateTime,
    /// When it was published; none of a draft.
    #[serde(with = "time::serde::rfc3339::option", default)]
    pub published_at: Option<OffsetDateTime>,
    /// Its page.
    pub html_url: String,
    /// Template of the address that assets are uploaded to.
    pub upload_url: String,
    /// Its files.
    pub assets: Vec<Asset>,
}

impl Release {
    /// The complete file of this name.
    pub fn asset(&self, name: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.name == name && asset.is_complete())
    }
}

/// A file of a release.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Asset {
    /// Its number.
    pub id: u64,
    /// Its address in the API: with `Accept: application/octet-stream` it leads to the file.
    pub url: String,
    /// Its address on the web pages, for public repositories.
    pub browser_download_url: String,
    /// File name.
    pub name: String,
    /// `uploaded` once it is complete.
    pub state: String,
    /// Bytes.
    pub size: u64,
    /// `sha256:` and hexadecimal digits; none for what was uploaded before GitHub computed them.
    #[serde(default)]
    pub digest: Option<String>,
}

impl Asset {
    /// Whether its upload was completed.
    pub fn is_complete(&self) -> bool {
        self.state == "uploaded"
    }

    /// SHA-256 in hexadecimal, when the API knows it.
    pub fn sha256(&self) -> Option<&str> {
        sha256(self.digest.as_deref())
    }
}

/// A pull request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its title.
    pub title: String,
    /// What it wants to have merged.
    pub head: Head,
}

/// The end of a pull request that is to be merged.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Head {
    /// Commit.
    pub sha: String,
    /// Branch.
    #[serde(rename = "ref")]
    pub branch: String,
    /// Repository; none once that is deleted.
    pub repo: Option<HeadRepo>,
}

/// The repository that a commit is in.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HeadRepo {
    /// `owner/name`.
    pub full_name: String,
}

/// A page of workflow runs.
#[derive(Debug, Clone, Deserialize)]
pub struct Runs {
    /// The newest first.
    pub workflow_runs: Vec<Run>,
}

/// A run of a workflow.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Run {
    /// Its number.
    pub id: u64,
    /// Name of the workflow.
    pub name: Option<String>,
    /// Path of the workflow's file, `.github/workflows/image.yml`.
    pub path: String,
    /// `queued`, `in_progress`, `completed`, …
    pub status: Option<String>,
    /// `success`, `failure`, …; none before it is completed.
    pub conclusion: Option<String>,
    /// Commit.
    pub head_sha: String,
    /// Its page.
    pub html_url: String,
    /// Repository that the commit is in; none once that is deleted.
    pub head_repository: Option<HeadRepo>,
}

/// A page of artifacts.
#[derive(Debug, Clone, Deserialize)]
pub struct Artifacts {
    /// In the order of their uploads.
    pub artifacts: Vec<Artifact>,
}

/// A file, or a zip of files, that a run has left.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Artifact {
    /// Its number.
    pub id: u64,
    /// Its name.
    pub name: String,
    /// Bytes of what is downloaded.
    pub size_in_bytes: u64,
    /// Its address in the API, which leads to the content for a minute.
    pub archive_download_url: String,
    /// Whether it was kept for long enough.
    pub expired: bool,
    /// `sha256:` and hexadecimal digits of what is downloaded; none for what old versions of the upload action have left.
    #[serde(default)]
    pub digest: Option<String>,
}

impl Artifact {
    /// SHA-256 in hexadecimal, when the API knows it.
    pub fn sha256(&self) -> Option<&str> {
        sha256(self.digest.as_deref())
    }
}

fn sha256(digest: Option<&str>) -> Option<&str> {
    digest?.strip_prefix("sha256:")
}
