//! The file that an unfinished download is kept in, and what it is of.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use base::files::{self, FileError, PRIVATE_FILE, remove_if_there, write_atomic};
use serde::{Deserialize, Serialize};

use super::error::DownloadError;
use super::source::Known;
use super::{Pin, Remote};

/// Version of [`About`] as JSON.
const SCHEMA_VERSION: u32 = 1;

/// An unfinished download of a file: `<file>.part`, and beside it `<file>.part.json`.
pub(super) struct Part {
    path: PathBuf,
    about: PathBuf,
}

/// What an unfinished download is of.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    schema_version: u32,
    /// Where it is from.
    url: String,
    /// Pinned digest of what is downloaded.
    digest: Option<String>,
    /// Entity tag of what is downloaded.
    etag: Option<String>,
    /// Length of what is downloaded.
    total: Option<u64>,
    /// Whether it was compressed on the way: such a transfer cannot be resumed by another process.
    compressed: bool,
}

/// What there is of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Begun {
    /// Bytes, from its beginning on.
    pub(super) have: u64,
    /// What is known of the file that they are of.
    pub(super) known: Known,
}

impl Part {
    pub(super) fn of(target: &Path) -> Self {
        let path = super::part_of(target);
        let mut about = path.clone().into_os_string();
        about.push(".json");
        Self { path, about: about.into() }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What there is of `remote`; whatever there is of anything else is removed.
    pub(super) fn begun(&self, remote: &Remote) -> Result<Begun, DownloadError> {
        let have = fs::metadata(&self.path).map_or(0, |data| data.len());
        let about: Option<About> =
            files::read_document(&self.about).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(about) = about
            && have > 0
            && about.is_of(remote)
        {
            // A tag is one of an address; the same file at another one has another.
            let etag = about.etag.filter(|_| about.url == remote.url);
            return Ok(Begun { have, known: Known { etag, total: about.total } });
        }
        self.discard()?;
        Ok(Begun::default())
    }

    /// Notes what is going to be in the file.
    pub(super) fn describe(
        &self,
        remote: &Remote,
        known: Known,
        compressed: bool,
    ) -> Result<(), DownloadError> {
        let about = About {
            schema_version: SCHEMA_VERSION,
            url: remote.url.clone(),
            digest: remote.pin.as_ref().map(Pin::to_string),
            etag: known.etag,
            total: known.total,
            compressed,
        };
        let json = serde_json::to_vec_pretty(&about).expect("it serialises");
        Ok(write_atomic(&self.about, &json, PRIVATE_FILE)?)
    }

    /// The file, to be written after its first `have` bytes.
    pub(super) fn open(&self, have: u64) -> Result<File, DownloadError> {
        let open = || {
            let file = File::options().create(true).append(true).read(true).open(&self.path)?;
            file.set_len(have)?;
            Ok(file)
        };
        open().map_err(|source| self.write_error(source))
    }

    /// Removes it: it is of another file.
    pub(super) fn discard(&self) -> Result<(), FileError> {
        self.forget()?;
        remove_if_there(&self.path)
    }

    /// Removes what is only needed to resume.
    pub(super) fn forget(&self) -> Result<(), FileError> {
        remove_if_there(&self.about)
    }

    pub(super) fn write_error(&self, source: io::Error) -> DownloadError {
        DownloadError::Write { path: self.path.clone(), source }
    }
}

impl About {
    /// Whether bytes of this can become `remote`: what has the same digest is the same file; without digests, the entity tag
    /// distinguishes files.
    fn is_of(&self, remote: &Remote) -> bool {
        let same = match (&self.digest, &remote.pin) {
            (Some(kept), Some(wanted)) => *kept == wanted.to_string(),
            (None, None) => self.url == remote.url && self.etag.is_some(),
            _ => false,
        };
        same && self.schema_version == SCHEMA_VERSION && !self.compressed
    }
}
