//! Downloads that resume and are verified.
//!
//! Data goes to a stable `<name>.part` beside the target, so that an interrupted download resumes; it is always the beginning of the
//! file, without gaps. Several pieces are fetched at once. The file gets its name only if its digest is the pinned one; anything else
//! is deleted. An archive is unpacked while it arrives. Callers hold a lock of their own per target: two downloads into one `.part`
//! would corrupt it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use base::digest::Sha256;
use base::events::{Phase, Reporter};
use base::files::FileError;
use reqwest::Client;

mod archive;
mod body;
pub mod error;
pub mod local;
mod part;
pub mod pin;
pub mod remote;
mod source;
mod store;
mod transfer;

pub use archive::ArchiveError;
pub use error::{DownloadError, Kind, VerifyError};
use part::Part;
pub use pin::Pin;
pub use remote::{ANY_BYTES, Remote};
use transfer::Transfer;

/// Bytes of a file that are asked for at once.
const PIECE: u64 = 2 << 20;

/// Pieces that are under way at once. Each is kept in memory until those before it are written.
const PARALLEL: usize = 6;

/// Pause before a broken transfer is resumed; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a piece that broke off is resumed.
const RESUMPTIONS: usize = 4;

/// How often a file that has changed meanwhile is fetched from its beginning.
const RESTARTS: usize = 2;

/// The pauses between the tries of one piece.
type Pauses = ExponentialBackoff;

/// How a download goes about it.
#[derive(Debug, Clone, Copy)]
struct Manner {
    piece: u64,
    parallel: usize,
    first_pause: Duration,
}

impl Manner {
    fn capacity(&self) -> usize {
        usize::try_from(self.piece).expect("a piece fits into memory")
    }

    fn pauses(&self) -> Pauses {
        let builder = ExponentialBuilder::default().with_min_delay(self.first_pause).with_jitter();
        builder.with_max_times(RESUMPTIONS).build()
    }
}

/// Fetches files.
#[derive(Debug, Clone)]
pub struct Downloader {
    client: Client,
    manner: Manner,
}

/// A file that has come completely, and does not have its name yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// Where it is: [`part_of`] the target.
    pub path: PathBuf,
    /// Its SHA-256, whatever it was pinned to.
    pub sha256: Sha256,
}

impl Downloader {
    /// A downloader with an HTTP client of its own.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new() -> Result<Self, DownloadError> {
        Ok(Self::with(crate::http::client()?))
    }

    /// A downloader with this client, which must not send a token of its own.
    pub fn with(client: Client) -> Self {
        let manner = Manner { piece: PIECE, parallel: PARALLEL, first_pause: FIRST_PAUSE };
        Self { client, manner }
    }

    /// Fetches `remote` to `target`, and resumes an earlier attempt's [`part_of`] it where the server allows it. Broken transfers are
    /// resumed a few times; an address that was never reached fails at once.
    ///
    /// # Errors
    /// When the file cannot be fetched; what was received is kept for the next attempt, unless its digest is wrong.
    pub async fn fetch(
        &self,
        remote: &Remote,
        target: &Path,
        phase: &Phase<'_>,
    ) -> Result<(), DownloadError> {
        let fetched = self.receive(remote, target, phase).await?;
        base::files::publish(&fetched.path, target)?;
        Ok(Part::of(target).forget()?)
    }

    /// As [`Downloader::fetch`], but leaves the file at [`part_of`] `target`, for the caller to look at, to rename, and then to
    /// [`forget`]: until then another attempt finds it. Out of an archive comes the file that is called like `target`.
    ///
    /// # Errors
    /// As [`Downloader::fetch`], and when an archive does not hold the file.
    pub async fn receive(
        &self,
        remote: &Remote,
        target: &Path,
        phase: &Phase<'_>,
    ) -> Result<Fetched, DownloadError> {
        let mut restarts = 0;
        loop {
            let part = Part::of(target);
            let begun = part.begun(remote)?;
            let resumed = begun.have > 0;
            let transfer = Transfer { downloader: self, remote, target, part: &part, phase };
            let error = match transfer.attempt(begun).await {
                Ok(stored) => return Ok(Fetched { path: part.path().to_owned(), sha256: stored.file }),
                Err(error) => error,
            };
            match error {
                // The part may have been of another file; only a fresh copy shows whether the server is at fault.
                DownloadError::Digest { .. } | DownloadError::Archive { .. } if resumed => part.discard()?,
                DownloadError::Changed { .. } if restarts < RESTARTS => {
                    part.discard()?;
                    restarts += 1;
                }
                error => {
                    if error.kind() == Kind::Verification {
                        part.discard()?;
                    }
                    return Err(error);
                }
            }
        }
    }
}

/// The file that an unfinished download of `target` is kept in.
pub fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Removes an unfinished download of `target`, and what is known about it.
///
/// # Errors
/// When it cannot be removed.
pub fn discard(target: &Path) -> Result<(), FileError> {
    Part::of(target).discard()
}

/// Removes what is known about a download of `target` that has its name by now.
///
/// # Errors
/// When it cannot be removed.
pub fn forget(target: &Path) -> Result<(), FileError> {
    Part::of(target).forget()
}

/// Starts the phase that a download reports to: named `download`, titled with the file's name.
pub fn phase<'a>(reporter: &'a dyn Reporter, target: &Path) -> Phase<'a> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    Phase::start(reporter, "download", &format!("Download {name}"))
}

#[cfg(test)]
mod tests;
