//! Why QEMU could not be built.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use base::digest::Sha256;
use base::files::FileError;
use base::process::ProcessError;
use fetch::download::{DownloadError, VerifyError};

/// One source that did not give a tarball.
#[derive(Debug)]
pub struct Tried {
    /// An address, or what an address was sought in.
    pub place: String,
    /// Why it gave nothing: messages, outermost first.
    pub reason: String,
}

/// Why QEMU was not built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Every pinned source failed.
    #[error("no source of QEMU {version} can be had:{}", list(tried))]
    NoSource {
        /// The version that was wanted.
        version: String,
        /// What was tried, in that order.
        tried: Vec<Tried>,
    },
    /// A tarball given by the user matches no pinned digest.
    #[error("`{}` is not QEMU {version}: its SHA-256 is {found}, expected {}", path.display(), either(expected))]
    WrongTarball {
        /// The tarball.
        path: PathBuf,
        /// The version that was wanted.
        version: String,
        /// Digests of the pinned sources.
        expected: Vec<Sha256>,
        /// The digest of what is there.
        found: Sha256,
    },
    /// A tarball cannot be read.
    #[error(transparent)]
    Verify(#[from] VerifyError),
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Client(DownloadError),
    /// The tarball has the right digest and still does not unpack.
    #[error("cannot unpack `{}` into `{}`", tarball.display(), into.display())]
    Unpack {
        /// The tarball.
        tarball: PathBuf,
        /// The directory.
        into: PathBuf,
        /// What went wrong.
        #[source]
        source: io::Error,
    },
    /// A patch does not fit the source.
    #[error("the patch `{patch}` does not apply to `{}`", path.display())]
    Patch {
        /// Name of the patch.
        patch: String,
        /// The file that it changes.
        path: PathBuf,
        /// What does not fit.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A step of the build failed.
    #[error("cannot {step} QEMU; the whole log is `{}`", log.display())]
    Step {
        /// "configure", "compile", …
        step: &'static str,
        /// Everything that the steps printed.
        log: PathBuf,
        /// The command and its last lines.
        #[source]
        source: ProcessError,
    },
    /// A firmware image is neither in the source nor on the host.
    #[error("the firmware image `{file}` is not in any of {}", places(searched))]
    Firmware {
        /// Name of the image.
        file: &'static str,
        /// Where it was sought.
        searched: Vec<PathBuf>,
    },
    /// What was built does not run.
    #[error("the QEMU in `{}` does not work", prefix.display())]
    Broken {
        /// The prefix.
        prefix: PathBuf,
        /// What is wrong with it.
        #[source]
        source: crate::prefix::PrefixError,
    },
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
}

impl BuildError {
    /// The command to run next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSource { version, .. } => Some(format!(
                "get `qemu-{version}.tar.xz` in another way and run `cargo xtask build-qemu --source FILE`"
            )),
            Self::WrongTarball { .. } => Some("run `cargo xtask build-qemu` without `--source`".to_owned()),
            Self::Step { .. } => Some(
                "run `cargo xtask setup --check --for build-qemu` to see what the host lacks; `cargo xtask build-qemu` resumes \
                 where it stopped"
                    .to_owned(),
            ),
            Self::Firmware { .. } => Some("run `cargo xtask setup --for build-qemu`".to_owned()),
            Self::Unpack { .. } | Self::Broken { .. } => {
                Some("run `cargo xtask build-qemu --force` to start again".to_owned())
            }
            _ => None,
        }
    }
}

fn list(tried: &[Tried]) -> String {
    tried.iter().fold(String::new(), |mut text, Tried { place, reason }| {
        let _ = write!(text, "\n  {place}: {reason}");
        text
    })
}

fn either(digests: &[Sha256]) -> String {
    digests.iter().map(Sha256::to_string).collect::<Vec<_>>().join(" or ")
}

fn places(dirs: &[PathBuf]) -> String {
    dirs.iter().map(|dir| format!("`{}`", dir.display())).collect::<Vec<_>>().join(", ")
}

/// The messages of an error and its causes in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_every_source_lists_each_with_its_reason() {
        let tried =
            [("https://a.test/q.tar.xz", "no route"), ("http://b.test/q.tar.xz", "answered 404 Not Found")]
                .map(|(place, reason)| Tried { place: place.to_owned(), reason: reason.to_owned() });
        let error = BuildError::NoSource { version: "10.2.2".to_owned(), tried: tried.into() };
        insta::assert_snapshot!(error, @r"
        no source of QEMU 10.2.2 can be had:
          https://a.test/q.tar.xz: no route
          http://b.test/q.tar.xz: answered 404 Not Found
        ");
        assert!(error.hint().unwrap().contains("--source FILE"));
    }
}
