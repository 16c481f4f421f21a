//! Pulls an image: pulls run one after the other, what is here already is not fetched again, and the image that is here stays until
//! the new one has been verified. The caller finds the bytes: this module only knows their address.

use std::path::Path;
use std::time::Duration;

use base::digest::Sha256;
use base::events::{Event, Phase, Reporter};
use base::files::{FileError, FileLock, create_private_dir};
use fetch::download::{self, DownloadError, Downloader, Fetched, Kind, Pin, Remote};
use image::arch::Arch;
use vm::boot_files::BootFilesError;
use vm::disk::QemuImg;
use vm::error::{Class, Explain};
use vm::home::Home;
use vm::qemu::{QemuError, find_img};

use super::store::{Images, Origin};
use super::users::Users;
use crate::home::HomeExt;

/// An image to be pulled into a home.
pub struct Pull<'a> {
    /// The home.
    pub home: &'a Home,
    /// Architecture of the image.
    pub arch: Arch,
    /// Whether an image is fetched even if it is here already.
    pub force: bool,
    /// The instances with data on the images that are here.
    pub users: &'a dyn Users,
    /// Where progress is reported.
    pub reporter: &'a dyn Reporter,
}

/// An image that can be downloaded.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Repository and release or run, for people.
    pub name: String,
    /// Where its bytes are.
    pub remote: Remote,
    /// A notice for before the download.
    pub notice: Option<String>,
}

/// An image that is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Where it came from, for people.
    pub origin: String,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Whether it was not here before.
    pub changed: bool,
}

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// It cannot be fetched.
    #[error("cannot get the image of {origin}")]
    Download {
        /// Where it is.
        origin: String,
        /// What went wrong.
        #[source]
        source: DownloadError,
    },
    /// The file is not an image that this program can run.
    #[error("the file from {origin} is not an image for {arch}")]
    NoImage {
        /// Where it came from.
        origin: String,
        /// The requested architecture.
        arch: Arch,
        /// What is wrong with it.
        #[source]
        source: BootFilesError,
    },
    /// It cannot be put in its place.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no `qemu-img` to inspect it.
    #[error(transparent)]
    Qemu(#[from] QemuError),
}

impl Explain for PullError {
    fn class(&self) -> Class {
        match self {
            Self::Download { source, .. } => match source.kind() {
                Kind::TimedOut => Class::TimedOut,
                Kind::Verification => Class::VerificationFailed,
                Kind::Access | Kind::Failed => Class::Failed,
            },
            Self::NoImage { .. } => Class::VerificationFailed,
            _ => self.below().map_or(Class::Failed, Explain::class),
        }
    }

    fn below(&self) -> Option<&(dyn Explain + 'static)> {
        match self {
            Self::File(source) => Some(source),
            Self::Qemu(source) => Some(source),
            Self::Download { .. } | Self::NoImage { .. } => None,
        }
    }
}

impl Pull<'_> {
    /// Takes the image out of a file on this machine, or an archive or a directory of artifacts, unless it is here already.
    ///
    /// # Errors
    /// When there is none, or it cannot be put in its place.
    pub async fn from_file(&self, path: &Path) -> Result<Pulled, PullError> {
        let turn = self.turn().await?;
        let obtained = self.copy(path)?;
        self.install(obtained, &turn).await
    }

    /// Downloads the image that `find` finds, unless it is here already. What is gone or damaged when it is fetched may have been
    /// replaced meanwhile: it is looked for again after each of the `pauses`.
    ///
    /// # Errors
    /// With that of `find`, and when the image cannot be downloaded or put in its place.
    pub async fn from_offers<E: From<PullError>>(
        &self,
        downloader: &Downloader,
        pauses: impl Iterator<Item = Duration>,
        find: impl AsyncFnMut() -> Result<Offer, E>,
    ) -> Result<Pulled, E> {
        let turn = self.turn().await?;
        let obtained = self.download(downloader, pauses, find).await?;
        Ok(self.install(obtained, &turn).await?)
    }

    /// Waits until no other command pulls an image for this architecture.
    async fn turn(&self) -> Result<Turn, PullError> {
        // Without it no image could be verified.
        let img = find_img(self.home)?;
        create_private_dir(&self.home.downloads())?;
        let text = format!("another command is pulling the image for {}: waiting for it", self.arch);
        let wait = || self.reporter.report(&Event::Notice(&text));
        let lock = FileLock::acquire(&self.home.download_lock(self.arch), wait).await?;
        Ok(Turn { img, _lock: lock })
    }

    async fn download<E: From<PullError>>(
        &self,
        downloader: &Downloader,
        mut pauses: impl Iterator<Item = Duration>,
        mut find: impl AsyncFnMut() -> Result<Offer, E>,
    ) -> Result<Obtained, E> {
        let mut failed: Option<Failed> = None;
        loop {
            let offer = find().await?;
            if let Some(Failed { error, .. }) = failed.take_if(|failed| failed.is_for_good(&offer)) {
                return Err(error.into());
            }
            if let Some(known) = self.known(pin(&offer))? {
                return Ok(Obtained::Known(known));
            }
            if failed.as_ref().is_none_or(|before| before.offer.name != offer.name) {
                self.announce(&offer);
            }
            let attempt = match self.receive(downloader, &offer).await {
                Ok(fetched) => {
                    let transfer = pin(&offer);
                    let origin = Origin::new(offer.name, transfer, fetched.sha256);
                    return Ok(Obtained::New(fetched, origin));
                }
                Err(source) => Failed::new(offer, source),
            };
            match pauses.next().filter(|_| attempt.gone || attempt.damaged) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(attempt.error.into()),
            }
            failed = Some(attempt);
        }
    }

    fn announce(&self, offer: &Offer) {
        if let Some(notice) = &offer.notice {
            self.reporter.report(&Event::Notice(notice));
        }
        self.reporter.report(&Event::Notice(&format!("pulling {}", offer.name)));
    }

    async fn receive(&self, downloader: &Downloader, offer: &Offer) -> Result<Fetched, DownloadError> {
        let target = self.home.download(self.arch);
        let phase = download::phase(self.reporter, &target);
        let fetched = downloader.receive(&offer.remote, &target, &phase).await?;
        phase.done();
        Ok(fetched)
    }

    fn copy(&self, path: &Path) -> Result<Obtained, PullError> {
        let target = self.home.download(self.arch);
        let phase = Phase::start(self.reporter, "copy", &format!("Copy {}", path.display()));
        let name = format!("`{}`", path.display());
        let fetched = download::local::receive(path, &target, &phase)
            .map_err(|source| PullError::Download { origin: name.clone(), source })?;
        phase.done();
        if let Some(known) = self.known(Some(fetched.sha256))? {
            download::discard(&target)?;
            return Ok(Obtained::Known(known));
        }
        let origin = Origin::new(name, None, fetched.sha256);
        Ok(Obtained::New(fetched, origin))
    }

    /// The image that is here, if it, or the archive that it came in, has this digest.
    fn known(&self, digest: Option<Sha256>) -> Result<Option<Origin>, PullError> {
        let Some(digest) = digest.filter(|_| !self.force) else { return Ok(None) };
        let images = Images::new(self.home);
        let Some(sha256) = images.current(self.arch)? else { return Ok(None) };
        let origin = images.origin(self.arch);
        if let Some(origin) = origin
            && (origin.transfer == Some(digest) || origin.sha256 == digest)
        {
            return Ok(Some(origin));
        }
        let unnamed = || Origin::new("this machine".to_owned(), None, sha256);
        Ok((sha256 == digest).then(unnamed))
    }

    /// Verifies what was obtained and puts it in its place.
    async fn install(&self, obtained: Obtained, turn: &Turn) -> Result<Pulled, PullError> {
        let (fetched, origin) = match obtained {
            Obtained::New(fetched, origin) => (fetched, origin),
            Obtained::Known(origin) => {
                return Ok(Pulled { origin: origin.name, sha256: origin.sha256, changed: false });
            }
        };
        let phase = Phase::start(self.reporter, "verify", "Verify the image");
        let images = Images::new(self.home);
        let target = self.home.download(self.arch);
        match images.install(self.arch, &fetched.path, &origin, self.users, &turn.img, self.reporter).await {
            Ok(()) => {
                phase.done();
                download::forget(&target)?;
                Ok(Pulled { origin: origin.name, sha256: origin.sha256, changed: true })
            }
            Err(BootFilesError::File(error)) => Err(error.into()),
            Err(source) => {
                download::discard(&target)?;
                Err(PullError::NoImage { origin: origin.name, arch: self.arch, source })
            }
        }
    }
}

/// What a pull has while no other one runs.
struct Turn {
    img: QemuImg,
    _lock: FileLock,
}

/// What was obtained.
enum Obtained {
    /// A complete file that has not been verified.
    New(Fetched, Origin),
    /// Nothing, because it is here.
    Known(Origin),
}

/// A download that has failed.
struct Failed {
    offer: Offer,
    /// Whether the file was not there.
    gone: bool,
    /// Whether it was not what was offered.
    damaged: bool,
    error: PullError,
}

impl Failed {
    fn new(offer: Offer, source: DownloadError) -> Self {
        let gone = source.is_gone();
        let damaged = pin(&offer).is_some() && source.kind() == Kind::Verification;
        let error = PullError::Download { origin: offer.name.clone(), source };
        Self { offer, gone, damaged, error }
    }

    /// Whether it would fail again: the invalid file is still the one that is offered.
    fn is_for_good(&self, offer: &Offer) -> bool {
        self.damaged && pin(&self.offer) == pin(offer)
    }
}

/// The digest of what is offered, if that is known.
fn pin(offer: &Offer) -> Option<Sha256> {
    match offer.remote.pin {
        Some(Pin::Sha256(digest)) => Some(digest),
        _ => None,
    }
}
