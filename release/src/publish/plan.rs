//! What is going to be published, as one value that is printed before anything happens.

use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::notes::{self, Figures};
use crate::github::Repo;
use crate::names::Names;
use crate::program::{self, Archive};
use image::arch::Arch;
use image::manifest::Manifest;

/// Version of the plan's JSON.
const SCHEMA_VERSION: u32 = 1;

/// GitHub takes files below this size (GitHub's documentation, "About releases", "Storage and bandwidth quotas").
pub const SIZE_LIMIT: u64 = 2 << 30;

/// Everything that is going to be published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    schema_version: u32,
    /// `owner/name`.
    pub repository: String,
    /// In the order in which they are made.
    pub releases: Vec<PlannedRelease>,
}

/// A release as it is going to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedRelease {
    /// Whether it stays as it is.
    pub kind: Kind,
    /// Its tag.
    pub tag: String,
    /// The commit that the tag is on.
    pub commit: String,
    /// Its title.
    pub title: String,
    /// Whether it is marked as a pre-release. What is not is what `releases/latest` leads to.
    pub prerelease: bool,
    /// Whether it is replaced also when what it has is newer.
    pub replaces_newer: bool,
    /// Its text, in Markdown.
    pub notes: String,
    /// Its files, and no others.
    pub assets: Vec<PlannedAsset>,
}

/// Whether a release changes once it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Never.
    Immutable,
    /// With every publication. Its assets are there at any moment.
    Rolling,
}

/// A file of a release as it is going to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedAsset {
    /// File name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256.
    pub sha256: Sha256,
    /// Where it comes from.
    #[serde(flatten)]
    pub source: Source,
}

/// Where a file comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source {
    /// From here.
    Path(PathBuf),
    /// From the plan.
    Content(String),
}

/// An image that is to be published.
#[derive(Debug, Clone)]
pub struct Image {
    /// The file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// What it says about itself.
    pub manifest: Manifest,
}

/// What may be otherwise about the releases of images.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choices<'a> {
    /// What a benchmark has measured of them, for the notes.
    pub figures: Option<&'a Figures>,
    /// Whether the branch's rolling release is left alone.
    pub no_rolling: bool,
    /// Whether the branch's rolling release is replaced also when what it has is newer.
    pub replace_newer: bool,
    /// Whether an architecture may be missing. Its image cannot be added later: a published release never changes.
    pub incomplete: bool,
}

/// Why nothing can be published.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// There is no image to publish.
    #[error("there is no image `{stack}-<arch>.qcow2` in `{}`", dir.display())]
    NoImage {
        /// The stack.
        stack: String,
        /// Where it was looked for.
        dir: PathBuf,
    },
    /// An image is not of the stack whose images are published.
    #[error("`{}` is an image of the stack `{found}`, not of `{wanted}`", path.display())]
    OtherStack {
        /// The image.
        path: PathBuf,
        /// The stack that its manifest names.
        found: String,
        /// The stack whose images are published.
        wanted: String,
    },
    /// There is no image for one of the architectures.
    #[error("there is no image for {arch} in `{}`, and a build is published for every architecture at once", dir.display())]
    Incomplete {
        /// Where the images are.
        dir: PathBuf,
        /// The architecture.
        arch: Arch,
    },
    /// There is no archive of the program to publish.
    #[error("there is no archive `emulator-<target>.tar.gz` in `{}`", .0.display())]
    NoArchive(PathBuf),
    /// A file is larger than GitHub takes.
    #[error("`{}` has {size} bytes: a release takes files of less than 2 GiB", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        size: u64,
    },
    /// An image does not come from a commit.
    #[error("`{}` was built from `{commit}`: an image that is published is built from a commit", path.display())]
    NoCommit {
        /// The image.
        path: PathBuf,
        /// What its manifest says.
        commit: String,
    },
    /// The images come from two commits.
    #[error("the images were built from two commits: `{one}` and `{other}`")]
    TwoCommits {
        /// One.
        one: String,
        /// Another.
        other: String,
    },
    /// A manifest says no time that can be read.
    #[error("`{}` was built at `{time}`, which is not a valid time", path.display())]
    NoTime {
        /// The image.
        path: PathBuf,
        /// What its manifest says.
        time: String,
    },
    /// The tag that is to be released is not that of the program's version.
    #[error("the tag is `{tag}`, but the program is version {version}")]
    OtherVersion {
        /// The tag.
        tag: String,
        /// The program's own version.
        version: &'static str,
    },
}

/// Refuses a file that GitHub would not take.
///
/// # Errors
/// When it is too large.
pub fn check_size(path: &Path, size: u64) -> Result<(), PlanError> {
    if size < SIZE_LIMIT { Ok(()) } else { Err(PlanError::TooLarge { path: path.to_owned(), size }) }
}

impl Plan {
    /// The releases of `images`, which were built from `branch` and get `names`: one of their own, then the branch's rolling one.
    ///
    /// # Errors
    /// When there is none or one too few, or they are not fit to be published.
    pub fn images(
        repo: &Repo,
        names: &Names,
        branch: &str,
        dir: &Path,
        images: &[Image],
        choices: Choices<'_>,
    ) -> Result<Self, PlanError> {
        let built = Built::of(names, dir, images)?;
        let is_missing = |arch: &Arch| !images.iter().any(|image| image.arch() == *arch);
        if let Some(arch) = Arch::ALL.into_iter().find(is_missing).filter(|_| !choices.incomplete) {
            return Err(PlanError::Incomplete { dir: dir.to_owned(), arch });
        }
        let day = built.time.date();
        let own = names.immutable_tag(branch, day, &built.commit);
        let short = built.commit.get(..8).unwrap_or(&built.commit);
        let assets: Vec<PlannedAsset> = images.iter().map(|image| image.asset(names)).collect();
        let stack = if names.is_default() { String::new() } else { format!(" of {}", names.stack()) };
        let release = |kind, tag: String, title| PlannedRelease {
            kind,
            notes: notes::of_images(repo, names, &tag, branch, &built, images, choices.figures),
            tag,
            commit: built.commit.clone(),
            title,
            prerelease: true,
            replaces_newer: kind == Kind::Rolling && choices.replace_newer,
            assets: assets.clone(),
        };
        let mut releases =
            vec![release(Kind::Immutable, own, format!("Emulator image{stack}: {branch}, {day}, {short}"))];
        if !choices.no_rolling {
            let title = format!("Emulator image{stack}: newest of {branch}");
            releases.push(release(Kind::Rolling, names.rolling_tag(branch), title));
        }
        Ok(Self { schema_version: SCHEMA_VERSION, repository: repo.to_string(), releases })
    }

    /// The release of the program that users install, at `commit`, whose tag is `tag`; `web` is the address of the
    /// GitHub that it is on.
    ///
    /// # Errors
    /// When there is no archive, one is too large, or the tag is of another version.
    pub fn program(
        repo: &Repo,
        web: &str,
        tag: &str,
        commit: &str,
        dir: &Path,
        archives: &[Archive],
        installer: &str,
    ) -> Result<Self, PlanError> {
        if tag != program::TAG {
            return Err(PlanError::OtherVersion { tag: tag.to_owned(), version: program::VERSION });
        }
        if archives.is_empty() {
            return Err(PlanError::NoArchive(dir.to_owned()));
        }
        for archive in archives {
            check_size(&archive.path, archive.size)?;
        }
        let mut assets: Vec<PlannedAsset> = archives.iter().map(Archive::asset).collect();
        assets.push(written(program::CHECKSUMS, program::checksums(archives)));
        assets.push(written(program::INSTALLER, program::installer(installer, repo)));
        let release = PlannedRelease {
            kind: Kind::Immutable,
            tag: tag.to_owned(),
            commit: commit.to_owned(),
            title: format!("emulator {}", program::VERSION),
            prerelease: false,
            replaces_newer: false,
            notes: notes::of_program(repo, web, tag, archives),
            assets,
        };
        Ok(Self { schema_version: SCHEMA_VERSION, repository: repo.to_string(), releases: vec![release] })
    }
}

/// When and from what images were built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Built {
    pub(super) commit: String,
    /// End of the last build. It is in the manifests, so that publishing again leads to the same tag.
    pub(super) time: OffsetDateTime,
}

impl Built {
    fn of(names: &Names, dir: &Path, images: &[Image]) -> Result<Self, PlanError> {
        let mut all: Option<Self> = None;
        for image in images {
            check_size(&image.path, image.size)?;
            image.check_stack(names)?;
            let one = image.built()?;
            all = Some(match all {
                Some(before) if before.commit != one.commit => {
                    return Err(PlanError::TwoCommits { one: before.commit, other: one.commit });
                }
                Some(before) => Self { time: before.time.max(one.time), ..before },
                None => one,
            });
        }
        let missing = || PlanError::NoImage { stack: names.stack().to_owned(), dir: dir.to_owned() };
        all.ok_or_else(missing)
    }
}

impl Image {
    /// What the image is for.
    pub fn arch(&self) -> Arch {
        self.manifest.arch
    }

    fn asset(&self, names: &Names) -> PlannedAsset {
        PlannedAsset {
            name: names.file(self.arch()),
            size: self.size,
            sha256: self.sha256,
            source: Source::Path(self.path.clone()),
        }
    }

    fn check_stack(&self, names: &Names) -> Result<(), PlanError> {
        let (found, wanted) = (&self.manifest.stack.name, names.stack());
        if found == wanted {
            return Ok(());
        }
        Err(PlanError::OtherStack {
            path: self.path.clone(),
            found: found.clone(),
            wanted: wanted.to_owned(),
        })
    }

    fn built(&self) -> Result<Built, PlanError> {
        let (commit, time) = (&self.manifest.build.git_sha, &self.manifest.build.time);
        let is_commit = commit.len() >= 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_commit {
            return Err(PlanError::NoCommit { path: self.path.clone(), commit: commit.clone() });
        }
        let time = OffsetDateTime::parse(time, &Rfc3339)
            .map_err(|_| PlanError::NoTime { path: self.path.clone(), time: time.clone() })?;
        Ok(Built { commit: commit.clone(), time })
    }
}

fn written(name: &str, content: String) -> PlannedAsset {
    PlannedAsset {
        name: name.to_owned(),
        size: content.len() as u64,
        sha256: digest::of_bytes(content.as_bytes()),
        source: Source::Content(content),
    }
}
