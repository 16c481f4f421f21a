//! Getting an image: finding, downloading, proving and putting it in its place, for `pull` and for a `start` without one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backon::BackoffBuilder;
use base::console::Console;
use base::digest::Sha256;
use base::events::{Event, Phase, Reporter};
use base::files::{FileLock, create_private_dir};
use fetch::download::{self, DownloadError, Downloader, Fetched, Kind, Pin};
use image::arch::Arch;
use instances::images::{Images, Origin};
use instances::registry::Registry;
use release::github::find::{Found, Wanted};
use release::github::{Address, GitHub, Repo, backoff, token};
use vm::boot_files::BootFilesError;
use vm::home::Home;
use vm::qemu::find_img;

use self::error::owner;
use crate::errors::CommandError;
use crate::question;

mod error;

pub(crate) use error::PullError;

/// Where an image is to come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A repository on GitHub.
    GitHub { repo: Repo, wanted: Wanted },
    /// A file on this machine.
    File(PathBuf),
}

/// An image to be pulled.
pub(crate) struct Order<'a> {
    pub(crate) home: &'a Home,
    pub(crate) console: &'a Console,
    pub(crate) arch: Arch,
    pub(crate) source: Source,
    /// Whether another repository's code is accepted.
    pub(crate) allow_fork: bool,
    /// Whether what is here already is downloaded nevertheless.
    pub(crate) force: bool,
}

/// An image that is here.
pub(crate) struct Pulled {
    pub(crate) origin: String,
    pub(crate) sha256: Sha256,
    /// Whether it was not here before.
    pub(crate) changed: bool,
}

impl Order<'_> {
    /// Gets the image, unless it is here already. The image that is here stays until the new one is proved to be one.
    pub(crate) async fn fulfil(&self) -> Result<Pulled, CommandError> {
        // Without it nothing that comes could be looked at.
        let img = find_img(self.home).map_err(PullError::from)?;
        create_private_dir(&self.home.downloads()).map_err(PullError::from)?;
        let text = format!("another command pulls the image for {}: waiting for it", self.arch);
        let wait = || self.console.report(&Event::Notice(&text));
        let lock = self.home.download_lock(self.arch);
        let _lock = FileLock::acquire(&lock, wait).await.map_err(PullError::from)?;
        let obtained = match &self.source {
            Source::GitHub { repo, wanted } => self.download(repo, wanted).await?,
            Source::File(path) => self.copy(path)?,
        };
        let (fetched, origin) = match obtained {
            Obtained::New(fetched, origin) => (fetched, origin),
            Obtained::Known(origin) => {
                return Ok(Pulled { origin: origin.name, sha256: origin.sha256, changed: false });
            }
        };
        let phase = Phase::start(self.console, "verify", "Look into the image");
        let (images, users) = (Images::new(self.home), Registry::new(self.home));
        let target = self.home.download(self.arch);
        match images.install(self.arch, &fetched.path, &origin, &users, &img, self.console).await {
            Ok(()) => {
                phase.done();
                download::forget(&target).map_err(PullError::from)?;
                Ok(Pulled { origin: origin.name, sha256: origin.sha256, changed: true })
            }
            Err(BootFilesError::File(error)) => Err(PullError::File(error).into()),
            Err(source) => {
                download::discard(&target).map_err(PullError::from)?;
                Err(PullError::NoImage { origin: origin.name, arch: self.arch, source }.into())
            }
        }
    }

    async fn download(&self, repo: &Repo, wanted: &Wanted) -> Result<Obtained, CommandError> {
        let address = Address::from_env().map_err(PullError::from)?;
        let token = token::find(&address).await.map_err(PullError::from)?;
        let github = GitHub::new(address, repo.clone(), token).map_err(PullError::from)?;
        // The newest release's file is replaced now and then: one that is gone, or another one by now, is looked for again.
        let mut pauses = backoff().build();
        let mut failed: Option<Failed> = None;
        loop {
            let found = github.find(wanted, self.arch, self.console).await.map_err(PullError::from)?;
            if let Some(Failed { error, .. }) = failed.take_if(|failed| failed.is_for_good(&found)) {
                return Err(error.into());
            }
            let name = format!("{} of `{repo}`", found.origin);
            let before = failed.as_ref().map(|failed| &failed.found);
            if before.is_none_or(|before| before.fork != found.fork) {
                self.accept(&found, repo, &name)?;
            }
            if let Some(known) = self.known(pin(&found))? {
                return Ok(Obtained::Known(known));
            }
            if before.is_none_or(|before| before.origin != found.origin) {
                self.announce(&found, &name);
            }
            let attempt = match self.receive(&github, &found).await {
                Ok(fetched) => {
                    let origin = Origin::new(name, pin(&found), fetched.sha256);
                    return Ok(Obtained::New(fetched, origin));
                }
                Err(source) => Failed::new(found, name, source),
            };
            match pauses.next().filter(|_| attempt.gone || attempt.spoilt) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(attempt.error.into()),
            }
            failed = Some(attempt);
        }
    }

    fn announce(&self, found: &Found, name: &str) {
        if let Some(limit) = &found.unasked {
            self.console.report(&Event::Notice(&format!(
                "{limit}: downloading without it; what comes is checked as an image, but no digest is known"
            )));
        }
        self.console.report(&Event::Notice(&format!("pulling {name}")));
    }

    async fn receive(&self, github: &GitHub, found: &Found) -> Result<Fetched, DownloadError> {
        let target = self.home.download(self.arch);
        let phase = download::phase(self.console, &target);
        let downloader = Downloader::with(github.http().clone());
        let fetched = downloader.receive(&found.remote, &target, &phase).await?;
        phase.done();
        Ok(fetched)
    }

    fn copy(&self, path: &Path) -> Result<Obtained, CommandError> {
        let target = self.home.download(self.arch);
        let phase = Phase::start(self.console, "copy", &format!("Copying {}", path.display()));
        let name = format!("`{}`", path.display());
        let fetched = download::local::receive(path, &target, &phase)
            .map_err(|source| PullError::Download { origin: name.clone(), source })?;
        phase.done();
        if let Some(known) = self.known(Some(fetched.sha256))? {
            download::discard(&target).map_err(PullError::from)?;
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

    /// Makes sure that code of a fork is wanted, and says whose it is in any case.
    fn accept(&self, found: &Found, repo: &Repo, name: &str) -> Result<(), CommandError> {
        let Some(fork) = &found.fork else { return Ok(()) };
        if self.allow_fork {
            self.console.report(&Event::Notice(&format!("{name} is code of {}", owner(fork))));
            return Ok(());
        }
        let refusal =
            || PullError::Fork { origin: name.to_owned(), repo: repo.clone(), fork: fork.clone() }.into();
        if !question::can_be_asked() {
            return Err(refusal());
        }
        let question = format!("{name} is code of {}. Run it on this machine?", owner(fork));
        if question::confirmed(&question)? { Ok(()) } else { Err(refusal()) }
    }
}

/// What was obtained.
enum Obtained {
    /// A complete file that has not been looked into.
    New(Fetched, Origin),
    /// Nothing, because it is here.
    Known(Origin),
}

/// A download that has failed.
struct Failed {
    found: Found,
    /// Whether the file was not there.
    gone: bool,
    /// Whether it was not what was found.
    spoilt: bool,
    error: PullError,
}

impl Failed {
    fn new(found: Found, name: String, source: DownloadError) -> Self {
        let gone = source.is_gone();
        let spoilt = pin(&found).is_some() && source.kind() == Kind::Verification;
        let error = match &found.unasked {
            Some(limit) if gone => PullError::Unasked(Arc::clone(limit)),
            _ => PullError::Download { origin: name, source },
        };
        Self { found, gone, spoilt, error }
    }

    /// Whether it would fail again: the file that was wrong is still the one that is `found`.
    fn is_for_good(&self, found: &Found) -> bool {
        self.spoilt && pin(&self.found) == pin(found)
    }
}

/// The digest that what was found has, if that is known.
fn pin(found: &Found) -> Option<Sha256> {
    match found.remote.pin {
        Some(Pin::Sha256(digest)) => Some(digest),
        _ => None,
    }
}
