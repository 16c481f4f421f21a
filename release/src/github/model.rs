//! What the API says, as far as it is read.

use base::digest::{InvalidSha256, Sha256};
use serde::{Deserialize, Deserializer};
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
    /// SHA-256, written `sha256:` and its digits; none for what was uploaded before GitHub computed them.
    #[serde(default, rename = "digest", deserialize_with = "sha256")]
    pub sha256: Option<Sha256>,
}

impl Asset {
    /// Whether its upload was completed.
    pub fn is_complete(&self) -> bool {
        self.state == "uploaded"
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
    /// SHA-256 of what is downloaded, written `sha256:` and its digits; none for what old versions of the upload action have left.
    #[serde(default, rename = "digest", deserialize_with = "sha256")]
    pub sha256: Option<Sha256>,
}

/// Reads a digest of the API. One by another algorithm is as good as none.
fn sha256<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Sha256>, D::Error> {
    let digest = Option::<String>::deserialize(deserializer)?;
    let digits = digest.as_deref().and_then(|digest| digest.strip_prefix("sha256:"));
    digits.map(str::parse).transpose().map_err(|error: InvalidSha256| serde::de::Error::custom(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, rename = "digest", deserialize_with = "sha256")]
        sha256: Option<Sha256>,
    }

    fn read(json: &str) -> Result<Option<Sha256>, serde_json::Error> {
        serde_json::from_str(json).map(|Answer { sha256 }| sha256)
    }

    #[test]
    fn a_digest_is_read_if_it_is_a_sha256_and_refused_if_it_is_a_broken_one() {
        let digest = base::digest::of_bytes(b"content");
        assert_eq!(read(&format!(r#"{{"digest": "sha256:{digest}"}}"#)).unwrap(), Some(digest));
        for without in [r#"{"digest": "sha512:00"}"#, r#"{"digest": null}"#, "{}"] {
            assert_eq!(read(without).unwrap(), None, "{without}");
        }
        assert!(read(r#"{"digest": "sha256:00"}"#).is_err());
    }
}
