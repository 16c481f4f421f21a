//! One attempt at a download: a plain file, a file inside an archive, or an archive without ranges.

use std::path::Path;
use std::sync::Arc;

use base::events::{Phase, Unit};
use base::space;
use tokio::sync::mpsc;

use super::archive::{self, ArchiveError, DIRECTORY_BYTES, Entry, LOCAL_HEADER_BYTES, Method};
use super::body::Body;
use super::error::DownloadError;
use super::part::{Begun, Part};
use super::pin::{Hashed, Hasher, for_each_block};
use super::source::Source;
use super::store::{self, Blocks, StoreError, Stored};
use super::{Downloader, Remote};

/// Pieces that wait for being written.
const WAITING: usize = 1;

/// Bytes at the beginning of what may be an archive that are looked at first.
pub(super) const FRONT_BYTES: u64 = 64 << 10;

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
pub(super) struct Transfer<'a> {
    pub(super) downloader: &'a Downloader,
    pub(super) remote: &'a Remote,
    pub(super) target: &'a Path,
    pub(super) part: &'a Part,
    pub(super) phase: &'a Phase<'a>,
}

impl Transfer<'_> {
    /// Receives what is missing after what was `begun`, and stores it in the part.
    pub(super) async fn attempt(&self, begun: Begun) -> Result<Stored, DownloadError> {
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
        let mut hasher = Hasher::new(self.remote.pin.as_ref());
        let mut file = self.part.open(have)?;
        for_each_block(&mut file, |block| hasher.update(block))
            .map_err(|source| self.part.write_error(source))?;
        let total = source.known().total.or(self.remote.size);
        let stored = if have > 0 && total == Some(have) {
            if self.remote.pin.is_none() {
                // Only the server knows whether it is still the same file: it says so with a byte of it.
                source.small(have - 1..have, self.downloader.manner.pauses()).await?;
            }
            Stored::plain(hasher.finish())
        } else {
            let size = match total {
                Some(size) => Some(size),
                // Unknown so far: the server says it with a byte of the file.
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
        let mut hasher = Hasher::new(self.remote.pin.as_ref());
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
            for_each_block(&mut file, |block| hasher.update(block))
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
        let hasher = Hasher::new(self.remote.pin.as_ref());
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
        hasher: Hasher,
        store: impl FnOnce(Blocks) -> Result<Stored, StoreError> + Send + 'static,
    ) -> Result<Stored, DownloadError> {
        self.part.describe(self.remote, source.known(), compressed)?;
        let (out, blocks) = mpsc::channel(WAITING);
        let storing = tokio::task::spawn_blocking(move || store(Blocks::new(blocks, hasher)));
        let body = Body::new(source, self.downloader.manner);
        let described = std::cell::Cell::new(source.known().etag.is_some());
        let progress = |done, total| {
            // The first answer says which file it is; from then on the transfer can be resumed.
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

    fn check(&self, found: &Hashed) -> Result<(), DownloadError> {
        let Some(pin) = &self.remote.pin else { return Ok(()) };
        match found.mismatch(pin) {
            Some(found) => {
                let expected = pin.to_string();
                Err(DownloadError::Digest { url: self.remote.url.clone(), expected, found })
            }
            None => Ok(()),
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
