//! Reading objects: whole, a range, or a part of those that were uploaded in parts.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops,
};

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use bytes::Bytes;
use futures_util::stream;
use s3s::{
    Body, S3Error, S3Request, S3Response, S3Result,
    dto::{
        ChecksumMode, ETag, GetObjectInput, GetObjectOutput, HeadObjectInput, HeadObjectOutput,
        ObjectLockMode, Range, ServerSideEncryption, StorageClass, StreamingBlob,
    },
    s3_error,
};
use uuid::Uuid;

use super::{
    Api,
    locks::hold_status,
    no_key, no_version,
    putting::{http_date, of_http_date},
};
use crate::{
    blobs::{Blobs, blocking},
    checksums::put_sums,
    conditions::Conditions,
    store::objects::{Address, Version},
};

/// Bytes that are read from a file at a time.
const PIECE: u64 = 512 << 10;

/// Which bytes of a version are sent.
struct Extent {
    bytes: ops::Range<u64>,
    /// Whether they are not all.
    partial: bool,
    parts: Option<i32>,
}

/// Sets what both kinds of answers have.
macro_rules! fill {
    ($output:expr, $version:expr, $versioned:expr, $extent:expr, $with_sums:expr) => {{
        let (version, extent) = (&$version, &$extent);
        let head = &version.head;
        $output.accept_ranges = Some("bytes".to_owned());
        $output.cache_control.clone_from(&head.cache_control);
        $output.content_disposition.clone_from(&head.content_disposition);
        $output.content_encoding.clone_from(&head.content_encoding);
        $output.content_language.clone_from(&head.content_language);
        $output.content_type =
            Some(head.content_type.clone().unwrap_or_else(|| "binary/octet-stream".to_owned()));
        $output.expires = head.expires.as_deref().and_then(of_http_date);
        $output.website_redirect_location.clone_from(&head.redirect);
        $output.metadata = Some(head.metadata.clone().into_iter().collect());
        $output.e_tag = Some(ETag::Strong(version.etag.clone()));
        $output.last_modified = Some(version.modified.into());
        $output.content_length = i64::try_from(extent.bytes.end - extent.bytes.start).ok();
        $output.content_range = extent.partial.then(|| {
            format!("bytes {}-{}/{}", extent.bytes.start, extent.bytes.end.saturating_sub(1), version.size)
        });
        $output.parts_count = extent.parts;
        $output.version_id = $versioned.then(|| version.id.clone());
        $output.storage_class = head
            .storage_class
            .clone()
            .filter(|class| class != StorageClass::STANDARD)
            .map(StorageClass::from);
        $output.server_side_encryption = head.encryption.clone().map(ServerSideEncryption::from);
        $output.ssekms_key_id.clone_from(&head.encryption_key);
        $output.object_lock_mode = version.lock.mode.clone().map(ObjectLockMode::from);
        $output.object_lock_retain_until_date = version.lock.until.map(Into::into);
        $output.object_lock_legal_hold_status = version.lock.legal_hold.then(|| hold_status(true));
        if $with_sums && !extent.partial {
            put_sums!($output, &head.sums);
            $output.checksum_type = head.checksum_type();
        }
    }};
}

impl Api {
    pub(super) async fn get_object(
        &self,
        req: S3Request<GetObjectInput>,
    ) -> S3Result<S3Response<GetObjectOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let conditions = Conditions {
            if_match: it.if_match,
            if_none_match: it.if_none_match,
            if_modified_since: it.if_modified_since,
            if_unmodified_since: it.if_unmodified_since,
        };
        let (mut version, versioned) = self.readable(address, &conditions, true).await?;
        let extent = extent(&version, it.range, it.part_number)?;
        let mut output = GetObjectOutput::default();
        let with_sums = it.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        fill!(output, version, versioned, extent, with_sums);
        output.tag_count = i32::try_from(version.tags.len()).ok().filter(|count| *count > 0);
        output.body = Some(self.content(&mut version, extent.bytes));
        Ok(S3Response::new(output))
    }

    pub(super) async fn head_object(
        &self,
        req: S3Request<HeadObjectInput>,
    ) -> S3Result<S3Response<HeadObjectOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let conditions = Conditions {
            if_match: it.if_match,
            if_none_match: it.if_none_match,
            if_modified_since: it.if_modified_since,
            if_unmodified_since: it.if_unmodified_since,
        };
        let (version, versioned) = self.readable(address, &conditions, false).await?;
        let extent = extent(&version, it.range, it.part_number)?;
        let mut output = HeadObjectOutput::default();
        let with_sums = it.checksum_mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
        fill!(output, version, versioned, extent, with_sums);
        let mut response = S3Response::new(output);
        // Crate `s3s` has no field for it.
        if !version.tags.is_empty() {
            let count = HeaderValue::from(version.tags.len());
            response.headers.insert(HeaderName::from_static("x-amz-tagging-count"), count);
        }
        Ok(response)
    }

    /// Finds what may be read, and says whether its bucket keeps versions.
    async fn readable(
        &self,
        address: Address<'_>,
        conditions: &Conditions,
        with_content: bool,
    ) -> S3Result<(Version, bool)> {
        let found = self.find(address, with_content).await?;
        let versioned = found.versioned;
        let Some(version) = found.version else {
            return Err(if address.version.is_some() { no_version() } else { no_key() });
        };
        if version.marker {
            return Err(marked(&version, address.version.is_some()));
        }
        conditions
            .check(&version.etag, version.modified, false)
            .map_err(|error| described(error, &version))?;
        Ok((version, versioned))
    }

    /// The bytes of a version, from its row or from its files.
    pub(super) fn content(&self, version: &mut Version, bytes: ops::Range<u64>) -> StreamingBlob {
        match version.content.take() {
            Some(content) => {
                let range = usize::try_from(bytes.start).unwrap_or_default()
                    ..usize::try_from(bytes.end).unwrap_or_default();
                Body::from(Bytes::from(content).slice(range)).into()
            }
            None => from_files(&self.blobs, &version.files, &version.sizes, bytes),
        }
    }
}

/// The error for a delete marker, with what its headers say.
fn marked(version: &Version, named: bool) -> S3Error {
    let mut error = if named {
        s3_error!(MethodNotAllowed, "The specified method is not allowed against this resource.")
    } else {
        no_key()
    };
    let mut headers = HeaderMap::new();
    headers.insert(HeaderName::from_static("x-amz-delete-marker"), HeaderValue::from_static("true"));
    let modified = named.then(|| http_date(version.modified.into()));
    for (name, value) in [("x-amz-version-id", Some(version.id.clone())), ("last-modified", modified)] {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    error.set_headers(headers);
    error
}

/// The error with the tag and the time of the version that it is about, as RFC 9110 asks for with 304.
fn described(mut error: S3Error, version: &Version) -> S3Error {
    let mut headers = HeaderMap::new();
    let values = [
        (header::ETAG, format!("\"{}\"", version.etag)),
        (header::LAST_MODIFIED, http_date(version.modified.into())),
    ];
    for (name, value) in values {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(name, value);
        }
    }
    error.set_headers(headers);
    error
}

fn extent(version: &Version, range: Option<Range>, part: Option<i32>) -> S3Result<Extent> {
    let size = u64::try_from(version.size).unwrap_or_default();
    let count = i32::try_from(version.head.parts.len()).ok().filter(|count| *count > 0);
    match (range, part) {
        (Some(_), Some(_)) => {
            Err(s3_error!(InvalidRequest, "Cannot specify both Range header and partNumber query parameter"))
        }
        (None, None) => Ok(Extent { bytes: 0..size, partial: false, parts: None }),
        (Some(range), None) => {
            let bytes = range.check(size).map_err(|_| {
                let mut error = s3_error!(InvalidRange, "The requested range is not satisfiable");
                let mut headers = HeaderMap::new();
                if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                    headers.insert(header::CONTENT_RANGE, value);
                }
                error.set_headers(headers);
                error
            })?;
            Ok(Extent { bytes, partial: true, parts: None })
        }
        (None, Some(number)) => {
            let Some(count) = count else {
                // What came in one piece is its first part.
                return if number == 1 {
                    Ok(Extent { bytes: 0..size, partial: false, parts: None })
                } else {
                    Err(s3_error!(InvalidPart, "The requested partnumber is not satisfiable"))
                };
            };
            let mut start = 0;
            for part in &version.head.parts {
                let end = start + u64::try_from(part.size).unwrap_or_default();
                if part.number == number {
                    return Ok(Extent { bytes: start..end, partial: true, parts: Some(count) });
                }
                start = end;
            }
            Err(s3_error!(InvalidPart, "The requested partnumber is not satisfiable"))
        }
    }
}

/// A piece of a file that is still to be sent.
struct Piece {
    file: Uuid,
    start: u64,
    length: u64,
}

/// Streams bytes of files that follow each other.
fn from_files(blobs: &Blobs, files: &[Uuid], sizes: &[i64], bytes: ops::Range<u64>) -> StreamingBlob {
    let pieces = pieces(files, sizes, bytes);
    let state = (blobs.clone(), pieces, None::<File>);
    StreamingBlob::wrap(Box::pin(stream::try_unfold(state, async |(blobs, mut pieces, open)| {
        let Some(mut piece) = pieces.pop_front() else { return Ok::<_, io::Error>(None) };
        let length = piece.length.min(PIECE);
        let (name, start, reader) = (piece.file, piece.start, blobs.clone());
        let (file, content) = blocking(move || read(open, &reader, name, start, length)).await?;
        piece.start += length;
        piece.length -= length;
        let is_done = piece.length == 0;
        if !is_done {
            pieces.push_front(piece);
        }
        Ok(Some((content, (blobs, pieces, (!is_done).then_some(file)))))
    })))
}

fn read(open: Option<File>, blobs: &Blobs, name: Uuid, start: u64, length: u64) -> io::Result<(File, Bytes)> {
    let mut file = if let Some(file) = open {
        file
    } else {
        let mut file = File::open(blobs.path(name))?;
        file.seek(SeekFrom::Start(start))?;
        file
    };
    let mut content = Vec::with_capacity(usize::try_from(length).expect("it is one piece"));
    (&mut file).take(length).read_to_end(&mut content)?;
    if content.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((file, content.into()))
}

fn pieces(files: &[Uuid], sizes: &[i64], bytes: ops::Range<u64>) -> VecDeque<Piece> {
    let mut at = 0;
    let mut pieces = VecDeque::new();
    for (file, size) in files.iter().zip(sizes) {
        let end = at + u64::try_from(*size).unwrap_or_default();
        let (from, to) = (bytes.start.max(at), bytes.end.min(end));
        if from < to {
            pieces.push_back(Piece { file: *file, start: from - at, length: to - from });
        }
        at = end;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use futures_util::TryStreamExt as _;

    use super::*;

    #[tokio::test]
    async fn a_range_is_read_across_files() {
        let directory = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(directory.path()).unwrap();
        let files: Vec<_> = ["abc", "def", "ghi"]
            .iter()
            .map(|content| {
                let (name, _) = blobs.create().unwrap();
                std::fs::write(blobs.path(name), content).unwrap();
                name
            })
            .collect();
        let read = async |bytes| {
            let stream = from_files(&blobs, &files, &[3, 3, 3], bytes);
            let all: Vec<Bytes> = stream.try_collect().await.unwrap();
            String::from_utf8(all.concat()).unwrap()
        };
        assert_eq!(read(0..9).await, "abcdefghi");
        assert_eq!(read(2..7).await, "cdefg");
        assert_eq!(read(3..6).await, "def");
        assert_eq!(read(4..4).await, "");
    }
}
