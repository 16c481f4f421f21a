//! What can be wrong with an archive, and with a layer.

use std::io;
use std::path::{Path, PathBuf};

use base::digest::Sha256;
use base::files::FileError;

/// An image that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The archive cannot be read.
    #[error("cannot read `{}`", archive.display())]
    Read {
        /// The archive.
        archive: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It has no image.
    #[error("`{}` is not an image: {reason}", archive.display())]
    NotImage {
        /// The archive.
        archive: PathBuf,
        /// What it is instead.
        reason: String,
    },
    /// A file of it is missing.
    #[error("`{}` has no `{name}`, which is {what}", archive.display())]
    Missing {
        /// The archive.
        archive: PathBuf,
        /// Path in the archive.
        name: String,
        /// What the file would be.
        what: String,
    },
    /// A file of it has another length.
    #[error("`{}`: {what} is truncated: it has {found} of {expected} bytes", archive.display())]
    Length {
        /// The archive.
        archive: PathBuf,
        /// What the file is.
        what: String,
        /// Bytes that there are.
        found: u64,
        /// Bytes that there should be.
        expected: u64,
    },
    /// A file of it has another digest.
    #[error("`{}`: {what} has the digest sha256:{found}, not sha256:{expected}", archive.display())]
    Digest {
        /// The archive.
        archive: PathBuf,
        /// What the file is.
        what: String,
        /// Digest that it has.
        found: Sha256,
        /// Digest that it should have.
        expected: Sha256,
    },
    /// A document of it says nothing that can be used.
    #[error("`{}`: {what} is invalid: {reason}", archive.display())]
    Document {
        /// The archive.
        archive: PathBuf,
        /// What the document is.
        what: String,
        /// Why it is invalid.
        reason: String,
    },
    /// No image has the name that was asked for.
    #[error("`{}` has no image `{wanted}`; it has {}", archive.display(), list(found))]
    NoSuchImage {
        /// The archive.
        archive: PathBuf,
        /// Name that was asked for.
        wanted: String,
        /// Names that there are.
        found: Vec<String>,
    },
    /// There are several images, and no name was given.
    #[error("`{}` has several images; name one of them: {}", archive.display(), list(found))]
    SeveralImages {
        /// The archive.
        archive: PathBuf,
        /// Names that there are.
        found: Vec<String>,
    },
    /// The image is for another platform.
    #[error("the image in `{}` is for {}, not for {wanted}", archive.display(), found.join(", "))]
    Platform {
        /// The archive.
        archive: PathBuf,
        /// Platforms that it is for.
        found: Vec<String>,
        /// Platform that was asked for.
        wanted: String,
    },
    /// A layer is damaged, or has something that is not allowed.
    #[error("`{}`, layer {number} (sha256:{diff_id}): {fault}", archive.display())]
    Layer {
        /// The archive.
        archive: PathBuf,
        /// Number of the layer; the lowest is 1.
        number: usize,
        /// Digest that names the layer.
        diff_id: Sha256,
        /// What is wrong.
        fault: Box<Fault>,
    },
    /// A layer cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none with a name".to_owned() } else { names.join(", ") }
}

/// What is wrong with a layer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The archive cannot be read.
    #[error("cannot read it: {0}")]
    Read(io::Error),
    /// The file system for temporary files is full, or worse.
    #[error("cannot write it to a temporary file: {0}")]
    Scratch(io::Error),
    /// It cannot be unpacked.
    #[error("cannot unpack it: {0}")]
    Packed(io::Error),
    /// It is too long.
    #[error("it has more than {limit} bytes when unpacked")]
    Length {
        /// Most bytes.
        limit: u64,
    },
    /// It has another digest.
    #[error("its digest is sha256:{found}, not sha256:{expected}")]
    Digest {
        /// Digest that it has.
        found: Sha256,
        /// Digest that it should have.
        expected: Sha256,
    },
    /// It is not a tar archive.
    #[error("invalid tar archive at byte {at}: {reason}")]
    Malformed {
        /// Position in the unpacked layer.
        at: u64,
        /// What is wrong there.
        reason: String,
    },
    /// It has too many entries.
    #[error("it has more than {limit} entries")]
    Entries {
        /// Most entries.
        limit: usize,
    },
    /// A name leads out of the image.
    #[error("`{}` leads out of the image", name.display())]
    Escape {
        /// The name.
        name: PathBuf,
    },
    /// A name is too long, empty, or has a zero byte.
    #[error("invalid name `{}`", name.display())]
    Name {
        /// The name.
        name: PathBuf,
    },
    /// A whiteout hides nothing that can exist.
    #[error("invalid whiteout `{}`", name.display())]
    Whiteout {
        /// The name.
        name: PathBuf,
    },
    /// A name leads through a symbolic link of the same layer, or through too many of lower layers.
    #[error("`{}` leads through the symbolic link `{}`", path.display(), link.display())]
    ThroughLink {
        /// The name.
        path: PathBuf,
        /// The link.
        link: PathBuf,
    },
    /// A name leads through something that is not a directory.
    #[error("`{}` leads through `{}`, which is not a directory", path.display(), file.display())]
    NotDirectory {
        /// The name.
        path: PathBuf,
        /// What is there.
        file: PathBuf,
    },
    /// The target of a hard link is missing, or a directory.
    #[error("`{}` is a hard link to `{}`, which is not a file", path.display(), target.display())]
    Target {
        /// The link.
        path: PathBuf,
        /// What it is to.
        target: PathBuf,
    },
    /// A device node.
    #[error("`{}` is a device node, which images must not have", path.display())]
    Device {
        /// Where it is.
        path: PathBuf,
    },
    /// The root is not a directory.
    #[error("the root of the image is not a directory")]
    Root,
}

impl Fault {
    /// Whether the layer is as it was built, so that another copy of it has the same fault.
    pub fn is_of_content(&self) -> bool {
        match self {
            Self::Read(_)
            | Self::Scratch(_)
            | Self::Packed(_)
            | Self::Length { .. }
            | Self::Digest { .. }
            | Self::Malformed { .. } => false,
            Self::Entries { .. }
            | Self::Escape { .. }
            | Self::Name { .. }
            | Self::Whiteout { .. }
            | Self::ThroughLink { .. }
            | Self::NotDirectory { .. }
            | Self::Target { .. }
            | Self::Device { .. }
            | Self::Root => true,
        }
    }

    /// The fault of a directory as that of a name in it.
    pub(crate) fn of_path(self, path: &Path) -> Self {
        match self {
            Self::ThroughLink { link, .. } => Self::ThroughLink { path: path.to_owned(), link },
            Self::NotDirectory { file, .. } => Self::NotDirectory { path: path.to_owned(), file },
            other => other,
        }
    }
}
