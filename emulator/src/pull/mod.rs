//! Pulls an image from GitHub or from a file, for `pull` and for a `start` without one: what a person is asked and shown. How it is
//! fetched, verified and installed is in `instances`.

use std::path::PathBuf;
use std::sync::Arc;

use backon::BackoffBuilder;
use base::console::Console;
use base::events::{Event, Reporter};
use fetch::download::Downloader;
use image::arch::Arch;
use instances::images::pull::{self, Offer, Pull, Pulled};
use instances::registry::Registry;
use release::github::find::{Found, Wanted};
use release::github::{Address, GitHub, Repo, backoff, token};
use release::names::Names;
use vm::home::Home;

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

impl Order<'_> {
    /// Gets the image, unless it is here already.
    pub(crate) async fn fulfil(&self) -> Result<Pulled, CommandError> {
        let users = Registry::new(self.home);
        let (home, arch, force, reporter) = (self.home, self.arch, self.force, self.console);
        let pull = Pull { home, arch, force, users: &users, reporter };
        match &self.source {
            Source::GitHub { repo, wanted } => self.download(&pull, repo, wanted).await,
            Source::File(path) => Ok(pull.from_file(path).await?),
        }
    }

    async fn download(&self, pull: &Pull<'_>, repo: &Repo, wanted: &Wanted) -> Result<Pulled, CommandError> {
        let address = Address::from_env().map_err(PullError::from)?;
        let token = token::find(&address).await.map_err(PullError::from)?;
        let github = GitHub::new(address, repo.clone(), token).map_err(PullError::from)?;
        let names = Names::of(self.home.stack());
        let downloader = Downloader::with(github.http().clone());
        let mut last: Option<Found> = None;
        // The newest release's file is replaced now and then: one that is gone, or another one by now, is looked for again.
        let find = async || {
            let found =
                github.find(wanted, &names, self.arch, self.console).await.map_err(PullError::from)?;
            let name = format!("{} of `{repo}`", found.origin);
            if last.as_ref().is_none_or(|last| last.fork != found.fork) {
                self.accept(&found, repo, &name)?;
            }
            let notice = found.unasked.as_ref().map(|limit| {
                format!("{limit}: downloading without it; what comes is checked as an image, but no digest is known")
            });
            let offer = Offer { name, remote: found.remote.clone(), notice };
            last = Some(found);
            Ok(offer)
        };
        match pull.from_offers(&downloader, backoff().build(), find).await {
            Err(CommandError::Pull(error)) => Err(unasked(*error, last.as_ref()).into()),
            outcome => outcome,
        }
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

/// Why the API was not asked, where what was found without it is not there: `error` says only that.
fn unasked(error: PullError, last: Option<&Found>) -> PullError {
    if let PullError::Image(image) = &error
        && let pull::PullError::Download { source, .. } = &**image
        && source.is_gone()
        && let Some(limit) = last.and_then(|last| last.unasked.as_ref())
    {
        return PullError::Unasked(Arc::clone(limit));
    }
    error
}
