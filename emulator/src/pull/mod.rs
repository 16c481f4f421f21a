//! Getting an image: finding, downloading, proving and putting it in its place, for `pull` and for a `start` without one.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use dialoguer::Confirm;
use host::console::Console;
use host::events::{Event, Phase, Reporter};
use host::files::{FileError, FileLock, create_private_dir};
use release::arch::Arch;
use release::download::{self, DownloadError, Downloader, Fetched, Kind, Pin};
use release::github::address::NoAddress;
use release::github::find::{FindError, Fork, Found, Wanted};
use release::github::{Address, ApiError, GitHub, Repo, Token};
use vm::boot_files::BootFilesError;
use vm::error::Explain;
use vm::home::Home;
use vm::images::{Images, Origin};
use vm::qemu::{QemuError, find_img};

use crate::errors::CommandError;
use crate::exit::Exit;

/// How often an image is looked for again that is gone when it is asked for: a rolling release's is replaced now and then.
const SEARCHES: usize = 3;

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
    pub(crate) sha256: String,
    /// Whether it was not here before.
    pub(crate) changed: bool,
}

/// Why an image could not be pulled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// Nobody has said where from.
    #[error("it is not known which repository to pull from")]
    NoRepo,
    /// There is no image, and none may be pulled.
    #[error("there is no image for {0}, and with `--offline` none is pulled")]
    Offline(Arch),
    /// The address of the API is none.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// GitHub cannot be talked to.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// There is no such image.
    #[error(transparent)]
    Find(#[from] FindError),
    /// It is another's code, and nobody has accepted that.
    #[error("{origin} is code of {}, which is not `{repo}`", owner(.fork))]
    Fork { origin: String, repo: Repo, fork: Fork },
    /// Its bytes cannot be had.
    #[error("cannot download {origin}")]
    Download {
        origin: String,
        #[source]
        source: DownloadError,
    },
    /// What came is no image that this program can run.
    #[error("what came from {origin} is no image for {arch}")]
    NoImage {
        origin: String,
        arch: Arch,
        #[source]
        source: BootFilesError,
    },
    /// It cannot be put in its place.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is no `qemu-img` to look into it with.
    #[error(transparent)]
    Qemu(#[from] QemuError),
}

impl PullError {
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::NoRepo | Self::Address(_) | Self::Fork { .. } => Exit::Usage,
            Self::Api(error) if error.is_about_access() => Exit::Access,
            Self::Find(error) if error.is_about_access() => Exit::Access,
            Self::Download { source, .. } => match source.kind() {
                Kind::Access => Exit::Access,
                Kind::TimedOut => Exit::TimedOut,
                Kind::Verification => Exit::VerificationFailed,
                Kind::Failed => Exit::Failed,
            },
            Self::NoImage { .. } => Exit::VerificationFailed,
            Self::Qemu(error) => error.class().into(),
            Self::Offline(_) | Self::Api(_) | Self::Find(_) | Self::File(_) => Exit::Failed,
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NoRepo => Some("name it with `--repo OWNER/NAME`, or set `EMULATOR_REPO`".to_owned()),
            Self::Offline(arch) => {
                Some(format!("pull one while there is a network: `emulator pull --arch {arch}`"))
            }
            Self::Api(error) => error.hint(),
            Self::Find(error) => error.hint(),
            Self::Fork { .. } => {
                Some("look at the code first; if you trust it, say so with `--allow-fork`".to_owned())
            }
            Self::Download { source, .. } => source.hint(),
            Self::Qemu(error) => error.hint(),
            Self::Address(_) | Self::NoImage { .. } | Self::File(_) => None,
        }
    }
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
        let images = Images::new(self.home);
        match images.install(self.arch, &fetched.path, &origin, &img, self.console).await {
            Ok(()) => {
                phase.done();
                Ok(Pulled { origin: origin.name, sha256: origin.sha256, changed: true })
            }
            Err(BootFilesError::File(error)) => Err(PullError::File(error).into()),
            Err(source) => {
                let target = self.home.download(self.arch);
                download::discard(&target)
                    .map_err(FileError::of("remove", &target))
                    .map_err(PullError::from)?;
                Err(PullError::NoImage { origin: origin.name, arch: self.arch, source }.into())
            }
        }
    }

    async fn download(&self, repo: &Repo, wanted: &Wanted) -> Result<Obtained, CommandError> {
        let address = Address::from_env().map_err(PullError::from)?;
        let token = Token::find(&address).await;
        let github = GitHub::new(address, repo.clone(), token).map_err(PullError::from)?;
        let mut searches = 0;
        let mut spoilt: Option<(String, DownloadError)> = None;
        loop {
            searches += 1;
            let found = github.find(wanted, self.arch, self.console).await.map_err(PullError::from)?;
            let name = format!("{} of `{repo}`", found.origin);
            self.accept(&found, repo, &name)?;
            let pin = found.remote.pin.as_ref().map(Pin::hex);
            if let Some((expected, source)) = spoilt.take()
                && pin == Some(expected.as_str())
            {
                return Err(PullError::Download { origin: name, source }.into());
            }
            if let Some(known) = self.known(pin)? {
                return Ok(Obtained::Known(known));
            }
            self.console.report(&Event::Notice(&format!("pulling {name}")));
            let target = self.home.download(self.arch);
            let phase = download::phase(self.console, &target);
            let downloader = Downloader::with(github.http().clone());
            match downloader.receive(&found.remote, &target, &phase).await {
                Ok(fetched) => {
                    phase.done();
                    let transfer = pin.map(str::to_owned);
                    let origin = Origin::new(name, transfer, fetched.digest.clone());
                    return Ok(Obtained::New(fetched, origin));
                }
                // The file was replaced between the two questions.
                Err(error) if error.is_gone() && searches < SEARCHES => {}
                // Or it is another one by now, which the next search tells.
                Err(source) => match pin {
                    Some(pin) if source.kind() == Kind::Verification && searches < SEARCHES => {
                        spoilt = Some((pin.to_owned(), source));
                    }
                    _ => return Err(PullError::Download { origin: name, source }.into()),
                },
            }
        }
    }

    fn copy(&self, path: &Path) -> Result<Obtained, CommandError> {
        let target = self.home.download(self.arch);
        let phase = Phase::start(self.console, "copy", &format!("Copying {}", path.display()));
        let name = format!("`{}`", path.display());
        let fetched = download::local::receive(path, &target, &phase)
            .map_err(|source| PullError::Download { origin: name.clone(), source })?;
        phase.done();
        if let Some(known) = self.known(Some(&fetched.digest))? {
            download::discard(&target).map_err(FileError::of("remove", &target)).map_err(PullError::from)?;
            return Ok(Obtained::Known(known));
        }
        let origin = Origin::new(name, None, fetched.digest.clone());
        Ok(Obtained::New(fetched, origin))
    }

    /// The image that is here, if it, or the archive that it came in, has this digest.
    fn known(&self, digest: Option<&str>) -> Result<Option<Origin>, PullError> {
        let Some(digest) = digest.filter(|_| !self.force) else { return Ok(None) };
        let images = Images::new(self.home);
        let Some(sha256) = images.current(self.arch)? else { return Ok(None) };
        let origin = images.origin(self.arch);
        if let Some(origin) = origin
            && (origin.transfer.as_deref() == Some(digest) || origin.sha256 == digest)
        {
            return Ok(Some(origin));
        }
        let unnamed = || Origin::new("this machine".to_owned(), None, sha256.clone());
        Ok((sha256 == digest).then(unnamed))
    }

    /// Makes sure that code of a fork is wanted.
    fn accept(&self, found: &Found, repo: &Repo, name: &str) -> Result<(), CommandError> {
        let Some(fork) = found.fork.as_ref().filter(|_| !self.allow_fork) else { return Ok(()) };
        let refusal =
            || PullError::Fork { origin: name.to_owned(), repo: repo.clone(), fork: fork.clone() }.into();
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(refusal());
        }
        let question = format!("{name} is code of {}. Run it on this machine?", owner(fork));
        let yes = Confirm::new().with_prompt(question).default(false).interact()?;
        if yes { Ok(()) } else { Err(refusal()) }
    }
}

/// What was obtained.
enum Obtained {
    /// A complete file that has not been looked into.
    New(Fetched, Origin),
    /// Nothing, because it is here.
    Known(Origin),
}

fn owner(fork: &Fork) -> String {
    match &fork.repo {
        Some(repo) => format!("`{repo}` at {}", fork.sha),
        None => format!("a repository that is gone, at {}", fork.sha),
    }
}
