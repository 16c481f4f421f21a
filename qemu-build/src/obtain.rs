//! A verified tarball: given by the user, kept from an earlier run, or fetched.

use std::fs;
use std::path::{Path, PathBuf};

use base::digest::{self, Sha256};
use base::events::{Event, Phase, Reporter};
use base::files::{self, FileError};
use fetch::download::{DownloadError, Downloader, Pin, Remote};
use url::Url;

use crate::archive;
use crate::error::{BuildError, Tried, chain};
use crate::sources::{Place, Source, Sources};

/// A tarball whose digest is one of the pinned ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tarball {
    pub(crate) path: PathBuf,
    pub(crate) sha256: Sha256,
}

/// Verifies the tarball at `path`, which must be one of `sources`.
pub(crate) fn given(sources: &Sources, path: &Path) -> Result<Tarball, BuildError> {
    let sha256 = digest::of_file(path).map_err(FileError::of("read", path))?;
    if sources.list.iter().any(|source| source.sha256 == sha256) {
        return Ok(Tarball { path: path.to_owned(), sha256 });
    }
    Err(BuildError::WrongTarball {
        path: path.to_owned(),
        version: sources.version.clone(),
        expected: sources.list.iter().map(|source| source.sha256).collect(),
        found: sha256,
    })
}

/// Returns a tarball of `sources` in `downloads`: an existing one, or the first that can be fetched. A damaged one
/// is deleted.
pub(crate) async fn any(
    sources: &Sources,
    downloads: &Path,
    reporter: &dyn Reporter,
) -> Result<Tarball, BuildError> {
    files::create_private_dir(downloads)?;
    for source in &sources.list {
        if let Some(tarball) = kept(source, downloads, reporter)? {
            return Ok(tarball);
        }
    }
    fetched(sources, &archive::roots().await, downloads, reporter).await
}

fn kept(source: &Source, downloads: &Path, reporter: &dyn Reporter) -> Result<Option<Tarball>, BuildError> {
    let path = downloads.join(source.file_name());
    if !path.exists() {
        return Ok(None);
    }
    let Err(error) = Pin::Sha256(source.sha256).check(&path) else {
        return Ok(Some(Tarball { path, sha256: source.sha256 }));
    };
    reporter.report(&Event::Warning(&format!("{}; it is fetched again", chain(&error))));
    fs::remove_file(&path).map_err(FileError::of("remove", &path))?;
    Ok(None)
}

async fn fetched(
    sources: &Sources,
    roots: &[Url],
    downloads: &Path,
    reporter: &dyn Reporter,
) -> Result<Tarball, BuildError> {
    let downloader = Downloader::new().map_err(BuildError::Client)?;
    let mut tried = Vec::new();
    let phase = Phase::start(reporter, "fetch", "Fetch the source of QEMU");
    for source in &sources.list {
        let (path, pin) = (downloads.join(source.file_name()), Pin::Sha256(source.sha256));
        let urls = source.urls(roots);
        if let (Place::Archive(archive), []) = (&source.place, &urls[..]) {
            let reason = "the host has no package archive that apt fetches over HTTP".to_owned();
            tried.push(Tried { place: archive.clone(), reason });
        }
        for url in urls {
            phase.detail(url.as_str());
            let remote = Remote::pinned(url.clone(), pin.clone());
            match downloader.fetch(&remote, &path, &phase).await {
                Ok(()) => {
                    phase.done();
                    return Ok(Tarball { path, sha256: source.sha256 });
                }
                Err(error) => {
                    let reason = reason(&error);
                    reporter.report(&Event::Notice(&format!("`{url}`: {reason}; trying the next source")));
                    tried.push(Tried { place: url.to_string(), reason });
                }
            }
        }
    }
    Err(BuildError::NoSource { version: sources.version.clone(), tried })
}

/// Why a download failed, for a line that names the address already.
fn reason(error: &DownloadError) -> String {
    match error {
        DownloadError::Unreachable { source, .. } => format!("cannot be reached ({})", root_cause(source)),
        DownloadError::Status { status, .. } => format!("answered {status}"),
        DownloadError::BrokenOff { received, source, .. } => {
            let why = source.as_ref().map_or("it ended early".to_owned(), |source| root_cause(source));
            format!("broke off after {received} bytes ({why})")
        }
        DownloadError::Digest { expected, found, .. } => {
            format!("is not the pinned file (SHA-256 is {found}, expected {expected})")
        }
        other => chain(other),
    }
}

fn root_cause(mut error: &dyn std::error::Error) -> String {
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use axum::Router;
    use axum::routing::get;
    use base::events::Silent;

    use super::*;

    /// Keeps notices and warnings.
    #[derive(Default)]
    struct Lines(Mutex<Vec<String>>);

    impl Reporter for Lines {
        fn report(&self, event: &Event<'_>) {
            if let Event::Notice(text) | Event::Warning(text) = event {
                self.0.lock().unwrap().push((*text).to_owned());
            }
        }
    }

    const CONTENT: &[u8] = b"the one release";

    fn source(place: Place) -> Source {
        Source { place, sha256: digest::of_bytes(CONTENT) }
    }

    fn sources(list: Vec<Source>) -> Sources {
        Sources { version: "1.0".to_owned(), list }
    }

    /// A server with the release at `/debian/pool/q.tar.xz` and another file at `/wrong/q.tar.xz`.
    async fn server() -> Url {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let root = format!("http://{}/", listener.local_addr().unwrap());
        let app = Router::new()
            .route("/debian/pool/q.tar.xz", get(async || CONTENT))
            .route("/wrong/q.tar.xz", get(async || "another file"));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Url::parse(&root).unwrap()
    }

    #[tokio::test]
    async fn a_source_that_fails_is_named_and_the_next_one_taken() {
        let dir = tempfile::tempdir().unwrap();
        let root = server().await;
        // A port that was free a moment ago and that no one listens on.
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let unreachable = Url::parse(&format!("http://{closed}/q.tar.xz")).unwrap();
        let list = vec![
            source(Place::Url(unreachable.clone())),
            source(Place::Url(root.join("wrong/q.tar.xz").unwrap())),
            source(Place::Archive("pool/q.tar.xz".to_owned())),
        ];
        let roots = [root.join("security/").unwrap(), root.join("debian/").unwrap()];
        let lines = Lines::default();
        let tarball = fetched(&sources(list), &roots, dir.path(), &lines).await.unwrap();
        assert_eq!(fs::read(&tarball.path).unwrap(), CONTENT);
        let lines = lines.0.into_inner().unwrap();
        assert!(lines[0].starts_with(&format!("`{unreachable}`: cannot be reached (")), "{lines:?}");
        assert!(lines[1].contains(&format!("expected {}", digest::of_bytes(CONTENT))), "{lines:?}");
        assert!(lines[1].contains(&digest::of_bytes(b"another file").to_string()), "{lines:?}");
        assert!(lines[2].contains("/security/pool/q.tar.xz`: answered 404 Not Found"), "{lines:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[tokio::test]
    async fn when_nothing_can_be_fetched_everything_that_was_tried_is_listed() {
        let dir = tempfile::tempdir().unwrap();
        let missing = server().await.join("missing.tar.xz").unwrap();
        let list =
            vec![source(Place::Url(missing.clone())), source(Place::Archive("pool/q.tar.xz".to_owned()))];
        let error = fetched(&sources(list), &[], dir.path(), &Silent).await.unwrap_err();
        let BuildError::NoSource { version, tried } = &error else { panic!("{error:?}") };
        assert_eq!(version, "1.0");
        assert_eq!([&tried[0].place, &tried[1].place], [missing.as_str(), "pool/q.tar.xz"]);
    }

    #[tokio::test]
    async fn a_tarball_of_an_earlier_run_is_used_and_a_spoilt_one_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let source = source(Place::Archive("pool/q.tar.xz".to_owned()));
        let path = dir.path().join("q.tar.xz");
        fs::write(&path, CONTENT).unwrap();
        let tarball = kept(&source, dir.path(), &Silent).unwrap().unwrap();
        assert_eq!(tarball, Tarball { path: path.clone(), sha256: digest::of_bytes(CONTENT) });
        fs::write(&path, b"spoilt").unwrap();
        let lines = Lines::default();
        assert_eq!(kept(&source, dir.path(), &lines).unwrap(), None);
        assert!(lines.0.lock().unwrap()[0].contains("q.tar.xz` has the wrong digest"));
        assert!(!path.exists());
    }

    #[test]
    fn a_given_tarball_is_refused_by_name_with_both_digests() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mine.tar.xz");
        let sources = sources(vec![source(Place::Archive("pool/q.tar.xz".to_owned()))]);
        fs::write(&path, CONTENT).unwrap();
        given(&sources, &path).unwrap();
        fs::write(&path, b"spoilt").unwrap();
        let error = given(&sources, &path).unwrap_err().to_string();
        for part in [
            "mine.tar.xz` is not QEMU 1.0",
            &digest::of_bytes(CONTENT).to_string(),
            &digest::of_bytes(b"spoilt").to_string(),
        ] {
            assert!(error.contains(part), "{error}");
        }
        assert!(path.exists(), "the user's file is the user's");
    }
}
