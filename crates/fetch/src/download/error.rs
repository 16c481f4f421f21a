//! Why a download did not give the file.

use std::io;
use std::path::PathBuf;

use base::files::FileError;
use base::space::NoSpace;
use reqwest::StatusCode;

use super::archive::ArchiveError;
use crate::Refusal;
use crate::http::ClientError;
use crate::local::LocalError;

/// Why a file is not the one that was pinned.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is another file.
    #[error("`{}` has the wrong digest: expected {expected}, found {found}", path.display())]
    Digest {
        /// The file.
        path: PathBuf,
        /// The pinned digest.
        expected: String,
        /// The digest of what is there.
        found: String,
    },
}

/// Why a download did not give the file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No connection, or none that TLS trusts.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// The address.
        url: String,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered, but not with the file.
    #[error("`{url}` answered {status}")]
    Status {
        /// The address.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// The server refuses this client.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The address that the first one redirected to is no longer valid.
    #[error("the address that `{url}` redirected to is no longer valid: it answered {status}")]
    Expired {
        /// The first address.
        url: String,
        /// The second one's answer.
        status: StatusCode,
    },
    /// The transfer broke off.
    #[error("the transfer of `{url}` broke off after {received} bytes; the next attempt resumes there")]
    BrokenOff {
        /// The address.
        url: String,
        /// Bytes received so far, those of earlier attempts included.
        received: u64,
        /// What went wrong; nothing when the server ended it as if it were complete.
        #[source]
        source: Option<reqwest::Error>,
    },
    /// The file became another one during the transfer, again and again.
    #[error("`{url}` changes while it is downloaded")]
    Changed {
        /// The address.
        url: String,
    },
    /// The file has another length than was announced. Nothing of it is kept.
    #[error("`{url}` has {found} bytes, but {expected} were announced")]
    Size {
        /// The address.
        url: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes that the server has.
        found: u64,
    },
    /// The server sent another file. Nothing of it is kept.
    #[error("`{url}` is not the pinned file: expected digest {expected}, found {found}")]
    Digest {
        /// The address.
        url: String,
        /// The pinned digest.
        expected: String,
        /// The digest of what came.
        found: String,
    },
    /// The archive is damaged, or holds something else. Nothing of it is kept.
    #[error("the archive `{url}` cannot be used")]
    Archive {
        /// The address.
        url: String,
        /// What is wrong with it.
        #[source]
        source: ArchiveError,
    },
    /// What was named is not a file, or not one that could be an image.
    #[error(transparent)]
    Local(#[from] LocalError),
    /// There is too little room for the file.
    #[error(transparent)]
    NoSpace(#[from] NoSpace),
    /// A file cannot be opened, read, replaced or removed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be stored.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// The HTTP client cannot be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something went wrong.
    Failed,
    /// It is about who asks.
    Access,
    /// Nothing came for too long.
    TimedOut,
    /// What came is not what it should be.
    Verification,
}

impl DownloadError {
    /// What kind of failure it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Refused(_) => Kind::Access,
            Self::Unreachable { source, .. } | Self::BrokenOff { source: Some(source), .. }
                if source.is_timeout() =>
            {
                Kind::TimedOut
            }
            Self::Size { .. } | Self::Digest { .. } | Self::Archive { .. } => Kind::Verification,
            _ => Kind::Failed,
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Unreachable { .. } => {
                "check the network, and `HTTPS_PROXY` and `SSL_CERT_FILE` if there is a proxy".to_owned()
            }
            Self::BrokenOff { .. } | Self::Changed { .. } | Self::Expired { .. } => {
                "run the same command again".to_owned()
            }
            Self::Local(source) => return source.hint(),
            Self::NoSpace(source) => format!("free some space in `{}`", source.path.display()),
            Self::Write { source, path } if source.kind() == io::ErrorKind::StorageFull => {
                format!(
                    "free some space where `{}` is; the download resumes where it stopped",
                    path.display()
                )
            }
            Self::Size { .. } | Self::Digest { .. } => {
                "run the same command again; if it ends like this once more, the file on the server is damaged".to_owned()
            }
            Self::Client(source) => return source.hint(),
            _ => return None,
        })
    }

    /// Whether there is no such file at this address, or not any more.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::Status { status: StatusCode::NOT_FOUND | StatusCode::GONE, .. })
    }
}
