//! Downloads that resume and are verified.
//!
//! Data goes to a stable `<name>.part` beside the target, so that an interrupted download goes on where it stopped. The
//! file gets its name only when its digest is the pinned one; anything else is deleted. Callers hold a lock of their own
//! per target: two downloads into one `.part` would spoil it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use futures_util::StreamExt;
use host::events::{Phase, Reporter, Unit};
use reqwest::header::{CONTENT_RANGE, RANGE};
use reqwest::{Client, StatusCode, Url};
use sha2::digest::DynDigest;
use sha2::{Sha256, Sha512};

use crate::github::Token;

/// How long a server may take to accept a connection, name lookup included. Short, so that a source that this network
/// cannot reach costs little before the next one is tried.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a transfer may stand still.
pub const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause before a broken transfer is taken up again; it doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How often a transfer that broke off is taken up again.
const RESUMPTIONS: usize = 3;

/// The digest that a file is pinned to, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// SHA-256.
    Sha256(String),
    /// SHA-512.
    Sha512(String),
}

/// Where bytes are.
#[derive(Debug, Clone)]
pub struct Remote {
    /// Address that answers with them, or leads to them.
    pub url: String,
    /// Token for that address, and for no other host that it leads to.
    pub token: Option<Token>,
    /// How many they are, when that is known.
    pub size: Option<u64>,
    /// Their digest, when that is known.
    pub pin: Option<Pin>,
    /// Whether they may be a zip that the file is in.
    pub may_be_zip: bool,
}

impl Pin {
    /// A SHA-256, in hexadecimal.
    pub fn sha256(hex: impl Into<String>) -> Self {
        Self::Sha256(hex.into())
    }

    /// The pinned digest.
    pub fn hex(&self) -> &str {
        match self {
            Self::Sha256(hex) | Self::Sha512(hex) => hex,
        }
    }

    /// Whether the file at `path` has this digest.
    ///
    /// # Errors
    /// When the file cannot be read, or its digest is another one.
    pub fn check(&self, path: &Path) -> Result<(), VerifyError> {
        let mut hasher = self.hasher();
        let read = File::open(path).and_then(|mut file| hash_rest(&mut file, hasher.as_mut()));
        read.map_err(|source| VerifyError::Read { path: path.to_owned(), source })?;
        let found = hex::encode(hasher.finalize());
        if found == self.hex() {
            return Ok(());
        }
        Err(VerifyError::Digest { path: path.to_owned(), expected: self.hex().to_owned(), found })
    }

    fn hasher(&self) -> Box<dyn DynDigest + Send> {
        match self {
            Self::Sha256(_) => Box::new(Sha256::default()),
            Self::Sha512(_) => Box::new(Sha512::default()),
        }
    }
}

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
    /// The transfer broke off.
    #[error("the transfer of `{url}` broke off after {received} bytes; it goes on there next time")]
    BrokenOff {
        /// The address.
        url: String,
        /// Bytes received so far, those of earlier attempts included.
        received: u64,
        /// What went wrong.
        #[source]
        source: reqwest::Error,
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
    #[error("cannot set up HTTPS")]
    Client(#[source] reqwest::Error),
}

impl DownloadError {
    /// Whether the same request may succeed in a moment.
    fn is_passing(&self) -> bool {
        match self {
            Self::BrokenOff { .. } => true,
            Self::Status { status, .. } => status.is_server_error(),
            _ => false,
        }
    }
}

/// An HTTP client with this module's deadlines. TLS is rustls with the platform's trust store, which obeys
/// `SSL_CERT_FILE` and `SSL_CERT_DIR`; proxies come from the usual variables.
///
/// # Errors
/// When TLS cannot be set up.
pub fn client() -> Result<Client, DownloadError> {
    Client::builder()
        .user_agent(concat!("stack-emulator/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(STALL_TIMEOUT)
        .build()
        .map_err(DownloadError::Client)
}

/// Fetches `url` to `target`, going on from an earlier attempt's `<target>.part` where the server allows it. Broken
/// transfers are taken up again a few times; an address that cannot be reached fails at once.
///
/// # Errors
/// When the file cannot be had; what was received stays for the next attempt, except when its digest is wrong.
pub async fn fetch(
    client: &Client,
    url: &Url,
    pin: &Pin,
    target: &Path,
    phase: &Phase<'_>,
) -> Result<(), DownloadError> {
    let transfer = Transfer { client, url, pin, target, part: part_of(target), phase };
    let backoff = ExponentialBuilder::default().with_min_delay(FIRST_PAUSE).with_max_times(RESUMPTIONS);
    (|| transfer.attempt()).retry(backoff).when(DownloadError::is_passing).await
}

/// The file that an unfinished download of `target` is kept in.
pub fn part_of(target: &Path) -> PathBuf {
    let mut name = target.as_os_str().to_owned();
    name.push(".part");
    PathBuf::from(name)
}

/// Starts the phase that a download reports to: named `download`, titled with the file's name.
pub fn phase<'a>(reporter: &'a dyn Reporter, target: &Path) -> Phase<'a> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    Phase::start(reporter, "download", &format!("Downloading {name}"))
}

struct Transfer<'a> {
    client: &'a Client,
    url: &'a Url,
    pin: &'a Pin,
    target: &'a Path,
    part: PathBuf,
    phase: &'a Phase<'a>,
}

impl Transfer<'_> {
    /// One attempt. What an earlier one left is resumed once; if the whole then has the wrong digest, the rest was of
    /// another file, and only a fresh copy can tell whose fault that is.
    async fn attempt(&self) -> Result<(), DownloadError> {
        let resumed = fs::metadata(&self.part).is_ok_and(|meta| meta.len() > 0);
        match self.receive().await {
            Err(DownloadError::Digest { .. }) if resumed => self.receive().await,
            result => result,
        }
    }

    async fn receive(&self) -> Result<(), DownloadError> {
        let mut hasher = self.pin.hasher();
        let mut have = match File::open(&self.part) {
            Ok(mut part) => {
                hash_rest(&mut part, hasher.as_mut()).map_err(|source| self.write_error(source))?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(source) => return Err(self.write_error(source)),
        };

        let mut request = self.client.get(self.url.clone());
        if have > 0 {
            request = request.header(RANGE, format!("bytes={have}-"));
        }
        let response = request.send().await.map_err(|source| {
            if source.is_connect() {
                DownloadError::Unreachable { url: self.url.to_string(), source }
            } else {
                self.broken_off(have, source)
            }
        })?;
        match response.status() {
            StatusCode::PARTIAL_CONTENT if range_start(&response) == Some(have) => {}
            StatusCode::OK => {
                // The server knows no ranges, or ours does not fit: this is the whole file again.
                have = 0;
                hasher.reset();
            }
            // Nothing is left to send: the part is whole, or too long, which the digest tells.
            StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => return self.finish(hasher),
            status => return Err(DownloadError::Status { url: self.url.to_string(), status }),
        }

        let mut options = File::options();
        options.create(true).write(true).append(have > 0).truncate(have == 0);
        let mut file = options.open(&self.part).map_err(|source| self.write_error(source))?;
        let total = response.content_length().map(|length| have + length);
        let mut body = response.bytes_stream();
        while let Some(block) = body.next().await {
            let block = block.map_err(|source| self.broken_off(have, source))?;
            file.write_all(&block).map_err(|source| self.write_error(source))?;
            hasher.update(&block);
            have += block.len() as u64;
            self.phase.progress(have, total, Unit::Bytes);
        }
        self.finish(hasher)
    }

    fn finish(&self, hasher: Box<dyn DynDigest + Send>) -> Result<(), DownloadError> {
        let found = hex::encode(hasher.finalize());
        if found != self.pin.hex() {
            fs::remove_file(&self.part).map_err(|source| self.write_error(source))?;
            let expected = self.pin.hex().to_owned();
            return Err(DownloadError::Digest { url: self.url.to_string(), expected, found });
        }
        host::files::publish(&self.part, self.target)
            .map_err(|error| DownloadError::Write { path: error.path, source: error.source })
    }

    fn broken_off(&self, received: u64, source: reqwest::Error) -> DownloadError {
        DownloadError::BrokenOff { url: self.url.to_string(), received, source }
    }

    fn write_error(&self, source: io::Error) -> DownloadError {
        DownloadError::Write { path: self.part.clone(), source }
    }
}

/// Feeds what is left of `file` to `hasher` and gives its length in bytes.
fn hash_rest(file: &mut File, hasher: &mut dyn DynDigest) -> io::Result<u64> {
    let mut block = vec![0; 1 << 20];
    let mut length = 0;
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            return Ok(length);
        }
        hasher.update(&block[..read]);
        length += read as u64;
    }
}

/// First byte of a partial answer: `Content-Range: bytes 100-199/200` (RFC 9110, section 14.4).
fn range_start(response: &reqwest::Response) -> Option<u64> {
    let value = response.headers().get(CONTENT_RANGE)?.to_str().ok()?;
    value.strip_prefix("bytes ")?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::body::Body;
    use axum::extract::State;
    use axum::http::{HeaderMap, Response};
    use axum::routing::get;
    use host::events::Silent;

    use super::*;

    /// What the server does with a request.
    #[derive(Clone, Copy)]
    enum Manner {
        Ranges,
        NoRanges,
        /// Announces everything, sends this many bytes more and hangs up.
        BreaksOffAfter(usize),
        Status(u16),
    }

    /// A server on loopback that treats each request as the next entry of its script says, and the rest as the last.
    struct Server {
        url: Url,
        ranges: Arc<Mutex<Vec<Option<String>>>>,
    }

    type Script = Arc<Mutex<(Vec<Manner>, Vec<u8>, Arc<Mutex<Vec<Option<String>>>>)>>;

    async fn answer(State(script): State<Script>, headers: HeaderMap) -> Response<Body> {
        let mut script = script.lock().unwrap();
        let (manners, content, ranges) = &mut *script;
        let manner = if manners.len() > 1 { manners.remove(0) } else { manners[0] };
        let range = headers.get(RANGE).map(|value| value.to_str().unwrap().to_owned());
        ranges.lock().unwrap().push(range.clone());
        let start: usize = range
            .filter(|_| !matches!(manner, Manner::NoRanges))
            .map_or(0, |value| value.strip_prefix("bytes=").unwrap().trim_end_matches('-').parse().unwrap());
        let response = Response::builder();
        if start >= content.len() {
            return response.status(416).body(Body::empty()).unwrap();
        }
        let rest = content[start..].to_vec();
        let total = content.len();
        let response = if start == 0 {
            response.status(200)
        } else {
            response.status(206).header(CONTENT_RANGE, format!("bytes {start}-{}/{total}", total - 1))
        };
        match manner {
            Manner::Status(status) => Response::builder().status(status).body(Body::empty()).unwrap(),
            Manner::BreaksOffAfter(length) => {
                let first = futures_util::stream::iter([Ok(rest[..length].to_vec())]);
                let broken = futures_util::stream::once(async {
                    // Gives the server a turn in which it sends what it has.
                    tokio::task::yield_now().await;
                    Err(io::Error::other("broken off"))
                });
                response
                    .header("content-length", rest.len())
                    .body(Body::from_stream(first.chain(broken)))
                    .unwrap()
            }
            Manner::Ranges | Manner::NoRanges => response.body(Body::from(rest)).unwrap(),
        }
    }

    async fn server(content: &[u8], manners: &[Manner]) -> Server {
        let ranges = Arc::default();
        let script: Script = Arc::new(Mutex::new((manners.to_vec(), content.to_vec(), Arc::clone(&ranges))));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/file", listener.local_addr().unwrap())).unwrap();
        let app = Router::new().route("/file", get(answer)).with_state(script);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { url, ranges }
    }

    fn content() -> Vec<u8> {
        (0..300_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect()
    }

    fn pin(content: &[u8]) -> Pin {
        Pin::Sha256(host::digest::of_bytes(content))
    }

    /// Fetches the server's file into `target`, which is pinned to [`content`].
    async fn get_from(server: &Server, target: &Path) -> Result<(), DownloadError> {
        let client = Client::builder().no_proxy().build().unwrap();
        let phase = phase(&Silent, target);
        let result = fetch(&client, &server.url, &pin(&content()), target, &phase).await;
        phase.done();
        result
    }

    #[tokio::test]
    async fn a_fresh_download_gets_its_name_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let server = server(&content(), &[Manner::Ranges]).await;
        get_from(&server, &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert!(!part_of(&target).exists());
        assert_eq!(*server.ranges.lock().unwrap(), [None]);
    }

    #[tokio::test]
    async fn an_interrupted_download_goes_on_where_it_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        fs::write(part_of(&target), &content()[..100_000]).unwrap();
        let server = server(&content(), &[Manner::Ranges]).await;
        get_from(&server, &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(*server.ranges.lock().unwrap(), [Some("bytes=100000-".to_owned())]);
    }

    #[tokio::test]
    async fn a_server_without_ranges_sends_the_whole_file_again() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        fs::write(part_of(&target), &content()[..100_000]).unwrap();
        let server = server(&content(), &[Manner::NoRanges]).await;
        get_from(&server, &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
    }

    #[tokio::test]
    async fn a_transfer_that_breaks_off_is_taken_up_again() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let server = server(&content(), &[Manner::BreaksOffAfter(70_000), Manner::Ranges]).await;
        get_from(&server, &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
        assert_eq!(*server.ranges.lock().unwrap(), [None, Some("bytes=70000-".to_owned())]);
    }

    #[tokio::test]
    async fn a_transfer_that_keeps_breaking_off_keeps_what_it_got() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let server = server(&content(), &[Manner::BreaksOffAfter(10)]).await;
        let error = get_from(&server, &target).await.unwrap_err();
        assert!(matches!(error, DownloadError::BrokenOff { received: 40, .. }), "{error:?}");
        assert_eq!(fs::metadata(part_of(&target)).unwrap().len(), 40);
        assert!(!target.exists());
    }

    #[tokio::test]
    async fn another_file_is_refused_by_both_digests_and_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let server = server(b"something else", &[Manner::Ranges]).await;
        let error = get_from(&server, &target).await.unwrap_err().to_string();
        assert!(error.contains(&host::digest::of_bytes(b"something else")), "{error}");
        assert!(error.contains(pin(&content()).hex()), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn leftovers_of_another_file_cost_a_second_try_only() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        for leftover in [vec![7; 1000], vec![7; 400_000]] {
            fs::write(part_of(&target), leftover).unwrap();
            let server = server(&content(), &[Manner::Ranges]).await;
            get_from(&server, &target).await.unwrap();
            assert_eq!(fs::read(&target).unwrap(), content());
        }
    }

    #[tokio::test]
    async fn a_whole_part_needs_its_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        fs::write(part_of(&target), content()).unwrap();
        let server = server(&content(), &[Manner::Ranges]).await;
        get_from(&server, &target).await.unwrap();
        assert_eq!(fs::read(&target).unwrap(), content());
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let mut server = server(&content(), &[Manner::Ranges]).await;
        // A port that was free a moment ago and that nobody listens on.
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        server.url.set_port(Some(closed.port())).unwrap();
        let error = get_from(&server, &dir.path().join("file")).await.unwrap_err();
        assert!(matches!(error, DownloadError::Unreachable { .. }), "{error:?}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn an_overloaded_server_is_asked_again_and_a_missing_file_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let busy = server(&content(), &[Manner::Status(503), Manner::Ranges]).await;
        get_from(&busy, &target).await.unwrap();
        let missing = server(&content(), &[Manner::Status(404)]).await;
        let error = get_from(&missing, &target).await.unwrap_err();
        assert_eq!(error.to_string(), format!("`{}` answered 404 Not Found", missing.url));
        assert_eq!(missing.ranges.lock().unwrap().len(), 1);
    }

    #[test]
    fn a_file_is_checked_against_either_kind_of_digest() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        fs::write(&path, b"abc").unwrap();
        let sha512 = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
                      2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";
        Pin::Sha512(sha512.to_owned()).check(&path).unwrap();
        Pin::Sha256(host::digest::of_bytes(b"abc")).check(&path).unwrap();
        let error = Pin::Sha256(host::digest::of_bytes(b"abd")).check(&path).unwrap_err();
        assert!(error.to_string().contains("has the wrong digest: expected"), "{error}");
    }
}
