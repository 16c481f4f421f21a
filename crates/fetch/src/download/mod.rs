//! Downloads that resume and are verified.
//!
//! Data goes to a stable `<name>.part` beside the target, so that an interrupted download goes on where it stopped; it is always
//! the beginning of the file, without gaps. Several pieces are under way at once. The file gets its name only when its digest
//! is the pinned one; anything else is deleted. An archive is unpacked while it comes. Callers hold a lock of their own per
//! target: two downloads into one `.part` would spoil it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use base::events::{Phase, Reporter, Unit};
use base::files::FileError;
use base::space;
use reqwest::Client;
use tokio::sync::mpsc;

mod archive;
mod body;
pub mod error;
pub mod local;
mod part;
pub mod pin;
pub mod remote;
mod source;
mod store;

pub use archive::ArchiveError;
use archive::{DIRECTORY_BYTES, Entry, LOCAL_HEADER_BYTES, Method};
use body::Body;
pub use error::{DownloadError, Kind, VerifyError};
use part::{Begun, Part};
pub use pin::Pin;
pub use remote::{ANY_BYTES, Remote};
use source::Source;
use store::{Blocks, StoreError, Stored};

/// Bytes of a file that are asked for at once.
const PIECE: u64 = 2 << 20;

/// Pieces that are under way at once. Each is kept in memory until those before it are written.
const PARALLEL: usize = 6;

/// Pieces that wait for being written.
const WAITING: usize = 1;

/// Pause before a broken transfer is taken up again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a piece that broke off is taken up again.
const RESUMPTIONS: usize = 4;

/// How often a file that has changed meanwhile is begun anew.
const RESTARTS: usize = 2;

/// Bytes at the beginning of what may be an archive that are looked at first.
const FRONT_BYTES: u64 = 64 << 10;

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
    /// Its digest in hexadecimal: SHA-256 unless it was pinned to another one.
    pub digest: String,
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

    /// Fetches `remote` to `target`, going on from an earlier attempt's [`part_of`] it where the server allows it. Broken
    /// transfers are taken up again a few times; an address that was never reached fails at once.
    ///
    /// # Errors
    /// When the file cannot be had; what was received stays for the next attempt, except when its digest is wrong.
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
                Ok(stored) => return Ok(Fetched { path: part.path().to_owned(), digest: stored.file }),
                Err(error) => error,
            };
            match error {
                // What was resumed was of another file; only a fresh copy can tell whose fault it is.
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
    Phase::start(reporter, "download", &format!("Downloading {name}"))
}

/// What comes, and how it is stored.
enum Form {
    /// The file itself.
    Plain,
    /// An archive, and where in it the file is.
    Packed { entry: Entry, content: u64, front: bytes::Bytes },
    /// An archive that can only be read from its beginning on.
    Opaque,
}

/// One attempt at a download.
struct Transfer<'a> {
    downloader: &'a Downloader,
    remote: &'a Remote,
    target: &'a Path,
    part: &'a Part,
    phase: &'a Phase<'a>,
}

impl Transfer<'_> {
    async fn attempt(&self, begun: Begun) -> Result<Stored, DownloadError> {
        let Begun { have, known } = begun;
        let client = self.downloader.client.clone();
        let source = Arc::new(Source::new(client, self.remote.clone(), known));
        let form = if self.remote.may_be_zip { self.form(&source).await? } else { Form::Plain };
        match form {
            Form::Plain => self.plain(&source, have).await,
            Form::Packed { entry, content, front } => {
                self.packed(&source, entry, content, &front, have).await
            }
            Form::Opaque => self.opaque(&source).await,
        }
    }

    /// Looks at the beginning, and of an archive at its directory.
    async fn form(&self, source: &Source) -> Result<Form, DownloadError> {
        let pauses = || self.downloader.manner.pauses();
        let (front, total) = source.small(0..FRONT_BYTES, pauses()).await?;
        let (true, Some(total)) = (archive::is_zip(&front), total) else {
            return Ok(if archive::is_zip(&front) { Form::Opaque } else { Form::Plain });
        };
        let (tail, _) = source.small(total.saturating_sub(DIRECTORY_BYTES)..total, pauses()).await?;
        let entry =
            archive::find(tail, total, &self.file_name()).map_err(|error| self.archive_error(error))?;
        let header = entry.header..entry.header + LOCAL_HEADER_BYTES;
        let (header, _) = source.small(header, pauses()).await?;
        let content = archive::content_offset(&header).ok_or(ArchiveError::Damaged);
        let content = entry.header + content.map_err(|error| self.archive_error(error))?;
        Ok(Form::Packed { entry, content, front })
    }

    async fn plain(&self, source: &Arc<Source>, have: u64) -> Result<Stored, DownloadError> {
        let mut hasher = pin::hasher(self.remote.pin.as_ref());
        let mut file = self.part.open(have)?;
        pin::for_each_block(&mut file, |block| hasher.update(block))
            .map_err(|source| self.part.write_error(source))?;
        let total = source.known().total.or(self.remote.size);
        let stored = if have > 0 && total == Some(have) {
            if self.remote.pin.is_none() {
                // Only the server knows whether it is still the same file: it tells with a byte of it.
                source.small(have - 1..have, self.downloader.manner.pauses()).await?;
            }
            let digest = hex::encode(hasher.finalize());
            Stored { transfer: digest.clone(), file: digest }
        } else {
            let size = match total {
                Some(size) => Some(size),
                // Nobody has told: the server does, with a byte of it.
                None => source.small(have..have + 1, self.downloader.manner.pauses()).await?.1,
            };
            self.require_space(size, have)?;
            self.transfer(source, have, false, hasher, move |blocks| store::plain(blocks, file)).await?
        };
        self.check(&stored.transfer)?;
        Ok(stored)
    }

    async fn packed(
        &self,
        source: &Arc<Source>,
        entry: Entry,
        content: u64,
        front: &[u8],
        have: u64,
    ) -> Result<Stored, DownloadError> {
        let mut hasher = pin::hasher(self.remote.pin.as_ref());
        let compressed = entry.method != Method::Stored;
        let before = usize::try_from(content).ok().and_then(|content| front.get(..content));
        let (from, skip, have) = match before {
            Some(before) if !compressed && have <= entry.size => {
                hasher.update(before);
                (content + have, 0, have)
            }
            _ => (0, content, 0),
        };
        self.require_space(Some(entry.size), have)?;
        let mut file = self.part.open(have)?;
        if have > 0 {
            pin::for_each_block(&mut file, |block| hasher.update(block))
                .map_err(|source| self.part.write_error(source))?;
            std::io::Seek::rewind(&mut file).map_err(|source| self.part.write_error(source))?;
        }
        let store = move |blocks| store::unpack(blocks, &entry, skip, have, file);
        let stored = self.transfer(source, from, compressed, hasher, store).await?;
        self.check(&stored.transfer)?;
        Ok(stored)
    }

    async fn opaque(&self, source: &Arc<Source>) -> Result<Stored, DownloadError> {
        self.require_space(self.remote.size.or(source.known().total), 0)?;
        let (file, wanted, dir) = (self.part.open(0)?, self.file_name(), self.dir().to_owned());
        let hasher = pin::hasher(self.remote.pin.as_ref());
        let room = move |size| require_space(&dir, size);
        let store = move |blocks| store::unpack_from_start(blocks, &wanted, room, file);
        let stored = self.transfer(source, 0, true, hasher, store).await?;
        self.check(&stored.transfer)?;
        Ok(stored)
    }

    /// Receives the bytes from `from` on while `store` takes them in a thread of its own.
    async fn transfer(
        &self,
        source: &Arc<Source>,
        from: u64,
        compressed: bool,
        hasher: pin::Hasher,
        store: impl FnOnce(Blocks) -> Result<Stored, StoreError> + Send + 'static,
    ) -> Result<Stored, DownloadError> {
        self.part.describe(self.remote, source.known(), compressed)?;
        let (out, blocks) = mpsc::channel(WAITING);
        let storing = tokio::task::spawn_blocking(move || store(Blocks::new(blocks, hasher)));
        let body = Body::new(source, self.downloader.manner);
        let described = std::cell::Cell::new(source.known().etag.is_some());
        let progress = |done, total| {
            // The first answer says which file it is; from then on what comes can be gone on with.
            if !described.get() && source.known().etag.is_some() {
                described.set(self.part.describe(self.remote, source.known(), compressed).is_ok());
            }
            self.phase.progress(done, total, Unit::Bytes);
        };
        let sent = body.send(from, out, progress).await;
        let stored = storing.await.expect("storing does not panic");
        match (sent, stored) {
            (_, Err(StoreError::Write(source))) => Err(self.part.write_error(source)),
            (_, Err(StoreError::Room(error))) | (Err(error), _) => Err(error),
            (Ok(()), Err(StoreError::Archive(error))) => Err(self.archive_error(error)),
            (Ok(()), Ok(stored)) => Ok(stored),
        }
    }

    fn check(&self, found: &str) -> Result<(), DownloadError> {
        match &self.remote.pin {
            Some(pin) if pin.hex() != found => Err(DownloadError::Digest {
                url: self.remote.url.clone(),
                expected: pin.hex().to_owned(),
                found: found.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn require_space(&self, size: Option<u64>, have: u64) -> Result<(), DownloadError> {
        require_space(self.dir(), size.unwrap_or_default().saturating_sub(have))
    }

    fn dir(&self) -> &Path {
        self.target.parent().unwrap_or(Path::new("."))
    }

    fn file_name(&self) -> String {
        self.target.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn archive_error(&self, source: ArchiveError) -> DownloadError {
        DownloadError::Archive { url: self.remote.url.clone(), source }
    }
}

fn require_space(dir: &Path, missing: u64) -> Result<(), DownloadError> {
    Ok(space::require(dir, "the download", missing)??)
}

#[cfg(test)]
mod tests;
