//! Kinds of arguments that several tasks take.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use base::variables;
use clap::Args;
use image::arch::Arch;
use image_build::build::StackSource;
use image_build::containers::ImageFile;

/// The variable with more values of `--image`, one on each line: for workflows, which have lists as texts.
const IMAGES_VARIABLE: &str = "STACK_IMAGES";

/// For which architectures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arches {
    /// One.
    One(Arch),
    /// All that images exist for.
    Both,
}

impl Arches {
    /// Each of them.
    pub(super) fn each(self) -> Vec<Arch> {
        match self {
            Self::One(arch) => vec![arch],
            Self::Both => Arch::ALL.to_vec(),
        }
    }
}

impl FromStr for Arches {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "both" => Ok(Self::Both),
            one => one
                .parse()
                .map(Self::One)
                .map_err(|_| format!("`{one}` is none of `amd64`, `arm64` and `both`")),
        }
    }
}

/// What a stack that a compose file describes needs besides the file.
#[derive(Debug, Clone, Args)]
pub(super) struct ComposeArguments {
    /// Archive with the image of a service: a file of `docker save`, an OCI archive or an OCI layout; or where `skopeo` copies it
    /// from, such as `docker-daemon:IMAGE`. `NAME` is the service or the reference of its image; without `NAME=` the archive's own
    /// names count
    #[arg(long = "image", value_name = "NAME=FILE", help_heading = "Stack")]
    images: Vec<ImageFile>,

    /// Profile of the compose file whose services are part of the stack
    #[arg(long = "profile", value_name = "NAME", help_heading = "Stack")]
    profiles: Vec<String>,
}

impl ComposeArguments {
    /// The stack at `path`.
    ///
    /// # Errors
    /// When it is not described by a compose file, and one of these arguments is given.
    pub(super) fn stack(mut self, path: PathBuf) -> anyhow::Result<StackSource> {
        let listed = variables::text(IMAGES_VARIABLE).unwrap_or_default();
        self.images.extend(images(&listed).with_context(|| format!("invalid `{IMAGES_VARIABLE}`"))?);
        let is_empty = self.is_empty();
        match StackSource::at(path, self.profiles, self.images) {
            StackSource::Directory(dir) if !is_empty => Err(unused(&dir)),
            stack => Ok(stack),
        }
    }

    /// The stack of this repository, in `dir`.
    ///
    /// # Errors
    /// When one of these arguments is given.
    pub(super) fn built_in(self, dir: PathBuf) -> anyhow::Result<StackSource> {
        if self.is_empty() { Ok(StackSource::BuiltIn(dir)) } else { Err(unused(&dir)) }
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty() && self.profiles.is_empty()
    }
}

/// The images of a list with one on each line.
fn images(list: &str) -> anyhow::Result<Vec<ImageFile>> {
    let lines = list.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| line.parse().map_err(|reason: String| anyhow::anyhow!("`{line}`: {reason}"))).collect()
}

fn unused(dir: &Path) -> anyhow::Error {
    anyhow::anyhow!("`--image` and `--profile` need a compose file, and there is none in `{}`", dir.display())
}

/// Makes a path given on the command line independent of the directory that the tasks run in.
///
/// # Errors
/// When the path is empty or the working directory is gone.
pub(super) fn absolute_path(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}
