//! Kinds of arguments that several tasks take.

use std::path::PathBuf;
use std::str::FromStr;

use image::arch::Arch;

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

/// Makes a path given on the command line independent of the directory that the tasks run in.
///
/// # Errors
/// When the path is empty or the working directory is gone.
pub(super) fn absolute_path(text: &str) -> std::io::Result<PathBuf> {
    std::path::absolute(text)
}
