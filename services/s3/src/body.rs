//! Receives the content of a request: counts and hashes it on the way, and puts what is large into a file.

use std::{fs::File, io, io::Write as _, time::Duration};

use axum::http::StatusCode;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use s3s::{
    S3Error, S3Result, StdError, TrailingHeaders,
    crypto::{Checksum as _, Md5},
    dto::StreamingBlob,
    s3_error,
};
use tokio::{sync::mpsc, task::JoinHandle, time::timeout};
use uuid::Uuid;

use crate::{
    blobs::{Blobs, Unclaimed},
    checksums::{Hasher, Kind, Sums},
    errors,
};

/// Content of at most this many bytes is in the row of its object.
pub(crate) const SMALL: usize = 32 << 10;

/// Bytes that are passed on to a file at a time.
const PIECE: usize = 512 << 10;

/// Pieces that wait to be written.
const PIECES: usize = 4;

/// How long a client may send nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// The largest object, and the largest part, in bytes: 5 GiB.
const LIMIT: u64 = 5 << 30;

/// What the request says about its content.
#[derive(Default)]
pub(crate) struct Expected {
    /// The header `content-md5`.
    pub(crate) md5: Option<String>,
    /// Checksums in headers.
    pub(crate) sums: Sums,
    /// A kind that the client names without a value in the head.
    pub(crate) kind: Option<Kind>,
    /// Headers that follow the content.
    pub(crate) trailers: Option<TrailingHeaders>,
    /// The kinds that the trailers are announced to have.
    pub(crate) announced: Vec<Kind>,
    /// The header `content-length`, of the content itself.
    pub(crate) length: Option<i64>,
}

/// Content that has arrived.
pub(crate) struct Received {
    pub(crate) size: i64,
    pub(crate) md5: [u8; 16],
    pub(crate) sums: Sums,
    pub(crate) content: Content,
}

/// Where it is.
pub(crate) enum Content {
    Row(Vec<u8>),
    File(Unclaimed),
}

impl Content {
    /// The bytes for the row, and the names of files.
    pub(crate) fn columns(&self) -> (Option<&[u8]>, &[Uuid]) {
        match self {
            Self::Row(bytes) => (Some(bytes), &[]),
            Self::File(file) => (None, file.files()),
        }
    }

    /// Leaves it where it is: a row names it.
    pub(crate) fn keep(self) {
        if let Self::File(file) = self {
            file.keep();
        }
    }
}

/// All hashes of one content.
struct Hashes {
    md5: Md5,
    sums: Vec<(Kind, Hasher)>,
}

impl Hashes {
    fn new(kinds: &[Kind]) -> Self {
        Self { md5: Md5::new(), sums: kinds.iter().map(|kind| (*kind, Hasher::new(*kind))).collect() }
    }

    fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        for (_, hasher) in &mut self.sums {
            hasher.update(bytes);
        }
    }

    fn finish(self) -> ([u8; 16], Sums) {
        (self.md5.finalize(), self.sums.into_iter().map(|(kind, hasher)| (kind, hasher.finish())).collect())
    }
}

/// Receives a whole body. Content of more than `small` bytes goes into a file.
///
/// # Errors
/// When it is not what the request says, breaks off, or cannot be stored. Nothing of it stays.
pub(crate) async fn receive(
    blobs: &Blobs,
    body: Option<StreamingBlob>,
    expected: Expected,
    small: usize,
) -> S3Result<Received> {
    let kinds = expected.kinds()?;
    let md5 = expected.md5.as_deref().map(digest).transpose()?;
    let mut pending = BytesMut::new();
    let mut writer: Option<Writer> = None;
    let mut size = 0_u64;
    if let Some(mut body) = body {
        while let Some(piece) = next(&mut body).await? {
            size += piece.len() as u64;
            if size > LIMIT {
                return Err(s3_error!(EntityTooLarge, "the content has more than {LIMIT} bytes"));
            }
            pending.extend_from_slice(&piece);
            if let Some(writer) = &mut writer {
                if pending.len() >= PIECE {
                    writer.pass(pending.split().freeze()).await;
                }
            } else if pending.len() > small {
                writer = Some(Writer::start(blobs, &kinds).await?);
            }
        }
    }
    if expected.length.is_some_and(|length| u64::try_from(length).is_ok_and(|length| length != size)) {
        return Err(s3_error!(
            IncompleteBody,
            "the content has {size} bytes, and another length was announced"
        ));
    }
    let (digest, sums, content) = if let Some(mut writer) = writer {
        writer.pass(pending.freeze()).await;
        writer.finish().await?
    } else {
        let mut hashes = Hashes::new(&kinds);
        hashes.update(&pending);
        let (digest, sums) = hashes.finish();
        (digest, sums, Content::Row(pending.into()))
    };
    if md5.is_some_and(|md5| md5 != digest) {
        return Err(s3_error!(BadDigest, "the content does not have the MD5 that the request says"));
    }
    expected.compare(&sums)?;
    let size = i64::try_from(size).expect("the limit is far below");
    Ok(Received { size, md5: digest, sums, content })
}

impl Expected {
    /// The kinds of checksums to compute.
    fn kinds(&self) -> S3Result<Vec<Kind>> {
        for (kind, sum) in &self.sums {
            kind.check(sum)?;
        }
        let mut kinds: Vec<_> = self.sums.keys().copied().chain(self.announced.iter().copied()).collect();
        if kinds.is_empty() {
            kinds.push(self.kind.unwrap_or(Kind::DEFAULT));
        }
        kinds.sort();
        kinds.dedup();
        Ok(kinds)
    }

    /// Compares what was computed with what was said, before and behind the content.
    fn compare(&self, computed: &Sums) -> S3Result<()> {
        let mut said = self.sums.clone();
        for kind in &self.announced {
            let trailer = self.trailers.as_ref().and_then(|trailers| {
                trailers.read(|headers| Some(headers.get(kind.header())?.to_str().ok()?.to_owned()))
            });
            let sum = trailer.flatten().ok_or_else(|| {
                s3_error!(InvalidRequest, "the trailer `{}` that was announced is missing", kind.header())
            })?;
            kind.check(&sum)?;
            said.insert(*kind, sum);
        }
        match said.iter().find(|(kind, sum)| computed.get(kind) != Some(sum)) {
            Some((kind, _)) => Err(s3_error!(
                BadDigest,
                "The {} you specified did not match the calculated checksum.",
                kind.name()
            )),
            None => Ok(()),
        }
    }
}

/// Reads the header `content-md5`.
fn digest(header: &str) -> S3Result<[u8; 16]> {
    let bytes = STANDARD.decode(header).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| s3_error!(InvalidDigest, "The Content-MD5 you specified is not valid."))
}

/// Waits for the next piece of a body.
async fn next(body: &mut StreamingBlob) -> S3Result<Option<Bytes>> {
    match timeout(PATIENCE, body.next()).await {
        Ok(piece) => piece.transpose().map_err(broken),
        Err(_) => Err(s3_error!(RequestTimeout, "nothing came for {} s", PATIENCE.as_secs())),
    }
}

/// The error for a body that broke off, or whose signature is wrong. Its type is private to crate `s3s`.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
fn broken(error: StdError) -> S3Error {
    let text = error.to_string();
    if text.contains("Sha256Mismatch") {
        errors::custom(
            "XAmzContentSHA256Mismatch",
            StatusCode::BAD_REQUEST,
            "The provided 'x-amz-content-sha256' header does not match what was computed.",
        )
    } else if text.contains("SignatureMismatch") {
        s3_error!(SignatureDoesNotMatch, "the signature of a piece of the content is wrong")
    } else {
        s3_error!(IncompleteBody, "the content broke off: {text}")
    }
}

/// Writes and hashes on a thread of its own, while the next piece arrives.
struct Writer {
    pieces: mpsc::Sender<Bytes>,
    thread: JoinHandle<io::Result<([u8; 16], Sums)>>,
    blobs: Blobs,
    file: Unclaimed,
}

impl Writer {
    async fn start(blobs: &Blobs, kinds: &[Kind]) -> S3Result<Self> {
        let creator = blobs.clone();
        let (name, file) = crate::blobs::blocking(move || creator.create()).await.map_err(errors::disk)?;
        let (pieces, arriving) = mpsc::channel(PIECES);
        let hashes = Hashes::new(kinds);
        let thread = tokio::task::spawn_blocking(move || write(&file, arriving, hashes));
        Ok(Self { pieces, thread, blobs: blobs.clone(), file: blobs.unclaimed(vec![name]) })
    }

    /// Passes a piece on. If the thread has failed, [`Writer::finish`] says why.
    async fn pass(&mut self, piece: Bytes) {
        let _ = self.pieces.send(piece).await;
    }

    /// Waits until all is on the disk.
    async fn finish(self) -> S3Result<([u8; 16], Sums, Content)> {
        drop(self.pieces);
        let written = self.thread.await.map_err(io::Error::other).and_then(|result| result);
        let (md5, sums) = written.map_err(errors::disk)?;
        let blobs = self.blobs.clone();
        crate::blobs::blocking(move || blobs.sync_names()).await.map_err(errors::disk)?;
        Ok((md5, sums, Content::File(self.file)))
    }
}

fn write(
    mut file: &File,
    mut pieces: mpsc::Receiver<Bytes>,
    mut hashes: Hashes,
) -> io::Result<([u8; 16], Sums)> {
    while let Some(piece) = pieces.blocking_recv() {
        file.write_all(&piece)?;
        hashes.update(&piece);
    }
    file.sync_data()?;
    Ok(hashes.finish())
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn body(pieces: &[&[u8]]) -> StreamingBlob {
        let pieces: Vec<_> =
            pieces.iter().map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
        StreamingBlob::wrap(stream::iter(pieces))
    }

    #[tokio::test]
    async fn small_content_is_for_the_row_and_large_content_for_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let small = receive(&blobs, Some(body(&[b"ab", b"cd"])), Expected::default(), 4).await.unwrap();
        assert!(matches!(&small.content, Content::Row(bytes) if bytes == b"abcd"));
        let large = receive(&blobs, Some(body(&[b"ab", b"cd", b"e"])), Expected::default(), 4).await.unwrap();
        assert_eq!((large.size, hex::encode(large.md5)), (5, "ab56b4d92b40713acc5af89985d4b786".to_owned()));
        let Content::File(file) = large.content else { panic!("it is in a file") };
        let path = blobs.path(file.files()[0]);
        assert_eq!(std::fs::read(&path).unwrap(), b"abcde");
        drop(file);
        assert!(!path.exists(), "nothing names it");
    }

    #[tokio::test]
    async fn content_that_is_not_what_was_said_is_refused_and_goes() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let wrong_md5 = STANDARD.encode([0; 16]);
        let cases = [
            (Expected { md5: Some(wrong_md5), ..Expected::default() }, "BadDigest"),
            (Expected { md5: Some("short".to_owned()), ..Expected::default() }, "InvalidDigest"),
            (
                Expected { sums: Sums::from([(Kind::Crc32, "AAAAAA==".to_owned())]), ..Expected::default() },
                "BadDigest",
            ),
            (
                Expected { sums: Sums::from([(Kind::Crc32, "AA==".to_owned())]), ..Expected::default() },
                "InvalidRequest",
            ),
            (Expected { announced: vec![Kind::Sha1], ..Expected::default() }, "InvalidRequest"),
            (Expected { length: Some(9), ..Expected::default() }, "IncompleteBody"),
        ];
        for (expected, code) in cases {
            let result = receive(&blobs, Some(body(&[b"abcde"])), expected, 2).await;
            assert_eq!(result.err().expect("it is refused").code().as_str(), code);
        }
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
