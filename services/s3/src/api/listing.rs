//! Listings: keys in their order, those with a common prefix as one.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumAlgorithm, ChecksumType, CommonPrefix, DeleteMarkerEntry, ETag, EncodingType,
        ListObjectVersionsInput, ListObjectVersionsOutput, ListObjectsInput, ListObjectsOutput,
        ListObjectsV2Input, ListObjectsV2Output, Object, ObjectStorageClass, ObjectVersion,
        ObjectVersionStorageClass,
    },
    s3_error,
};

use super::Api;
use crate::{
    acl, errors,
    store::listing::{self as stored, Entry, Range, behind},
};

/// Most entries of a page.
const PAGE: i32 = 1000;

/// What stays as it is in a key that is encoded.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/').remove(b'*');

/// Encodes a key for a URL.
pub(super) fn encoded(key: &str) -> String {
    utf8_percent_encode(key, ENCODED).to_string()
}

/// How keys are written in an answer.
pub(super) fn encoder(wished: Option<&EncodingType>) -> S3Result<fn(&str) -> String> {
    match wished.map(EncodingType::as_str) {
        None | Some("") => Ok(str::to_owned),
        Some(EncodingType::URL) => Ok(encoded),
        Some(_) => Err(s3_error!(InvalidArgument, "Invalid Encoding Method specified in Request")),
    }
}

/// A page of what was asked for with one more than fits.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) more: bool,
}

impl<T> Page<T> {
    pub(super) fn of(mut items: Vec<T>, limit: i32) -> Self {
        let limit = usize::try_from(limit).unwrap_or_default();
        let more = items.len() > limit && limit > 0;
        items.truncate(limit);
        Self { items, more }
    }
}

/// Entries and common prefixes, up to a limit for both together.
pub(super) struct Groups<T> {
    prefix: usize,
    delimiter: Option<String>,
    limit: usize,
    pub(super) items: Vec<T>,
    prefixes: Vec<String>,
    pub(super) more: bool,
    /// The last key or common prefix.
    last: Option<String>,
}

impl<T> Groups<T> {
    pub(super) fn new(prefix: &str, delimiter: Option<&str>, limit: i32) -> Self {
        Self {
            prefix: prefix.len(),
            delimiter: delimiter.filter(|delimiter| !delimiter.is_empty()).map(str::to_owned),
            limit: usize::try_from(limit).unwrap_or_default(),
            items: Vec::new(),
            prefixes: Vec::new(),
            more: false,
            last: None,
        }
    }

    /// The part of a key up to the first delimiter behind the prefix.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter.as_deref()?;
        let at = key[self.prefix..].find(delimiter)?;
        Some(&key[..self.prefix + at + delimiter.len()])
    }

    /// Takes an entry. Returns whether there is room for more.
    pub(super) fn take(&mut self, key: &str, item: T) -> bool {
        let prefix = self.common_prefix(key).map(str::to_owned);
        if prefix.is_some() && prefix.as_ref() == self.prefixes.last() {
            return true;
        }
        if self.items.len() + self.prefixes.len() >= self.limit {
            // A page without room has nothing behind it that a client could ask for.
            self.more = self.limit > 0;
            return false;
        }
        self.last = Some(prefix.clone().unwrap_or_else(|| key.to_owned()));
        match prefix {
            Some(prefix) => self.prefixes.push(prefix),
            None => self.items.push(item),
        }
        true
    }

    pub(super) fn common_prefixes(&self, encode: fn(&str) -> String) -> Vec<CommonPrefix> {
        self.prefixes.iter().map(|prefix| CommonPrefix { prefix: Some(encode(prefix)) }).collect()
    }
}

/// One listing of objects, in either version of the call.
struct Listing {
    groups: Groups<Entry>,
    /// What is behind is asked for from here.
    next: Option<String>,
}

impl Api {
    async fn list(
        &self,
        bucket: &str,
        prefix: &str,
        delimiter: Option<&str>,
        after: &str,
        limit: i32,
    ) -> S3Result<Listing> {
        let bucket = self.bucket(bucket).await?;
        let range = Range::of_prefix(prefix);
        let mut groups = Groups::new(prefix, delimiter, limit);
        // The next key behind a key is that key with a zero byte; behind a common prefix all keys with it are left out.
        let mut start = match groups.common_prefix_of_marker(after, prefix) {
            Some(skipped) => behind(skipped.as_bytes()),
            None if after.is_empty() => Some(Vec::new()),
            None => Some([after.as_bytes(), b"\0"].concat()),
        };
        let batch = i64::from(limit) + 1;
        'pages: while let Some(from) = start {
            let found = stored::objects(&self.database, bucket.id, &range, &from, batch)
                .await
                .map_err(errors::database)?;
            let is_last = i64::try_from(found.len()).unwrap_or(batch) < batch;
            let mut last = String::new();
            for entry in found {
                last.clone_from(&entry.key);
                if !groups.take(&entry.key.clone(), entry) {
                    break 'pages;
                }
            }
            if is_last {
                break;
            }
            start = match groups.common_prefix(&last) {
                Some(prefix) => behind(prefix.as_bytes()),
                None => Some([last.as_bytes(), b"\0"].concat()),
            };
        }
        let next = groups.last.clone().filter(|_| groups.more);
        Ok(Listing { groups, next })
    }

    pub(super) async fn list_objects(
        &self,
        req: S3Request<ListObjectsInput>,
    ) -> S3Result<S3Response<ListObjectsOutput>> {
        let it = req.input;
        let encode = encoder(it.encoding_type.as_ref())?;
        let limit = page_limit(it.max_keys)?;
        let prefix = it.prefix.clone().unwrap_or_default();
        let marker = it.marker.clone().unwrap_or_default();
        let listing = self.list(&it.bucket, &prefix, it.delimiter.as_deref(), &marker, limit).await?;
        let output = ListObjectsOutput {
            contents: Some(listing.groups.items.iter().map(|entry| object(entry, encode, true)).collect()),
            common_prefixes: Some(listing.groups.common_prefixes(encode)),
            is_truncated: Some(listing.groups.more),
            // Without a delimiter the last key is the marker.
            next_marker: listing
                .next
                .filter(|_| it.delimiter.as_ref().is_some_and(|it| !it.is_empty()))
                .as_deref()
                .map(encode),
            name: Some(it.bucket),
            prefix: Some(encode(&prefix)),
            marker: Some(encode(&marker)),
            max_keys: Some(it.max_keys.unwrap_or(PAGE)),
            delimiter: it.delimiter.as_deref().filter(|it| !it.is_empty()).map(encode),
            encoding_type: it.encoding_type,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn list_objects_v2(
        &self,
        req: S3Request<ListObjectsV2Input>,
    ) -> S3Result<S3Response<ListObjectsV2Output>> {
        let it = req.input;
        let encode = encoder(it.encoding_type.as_ref())?;
        let limit = page_limit(it.max_keys)?;
        let prefix = it.prefix.clone().unwrap_or_default();
        let after = match it.continuation_token.as_deref() {
            Some(token) => of_token(token)?,
            None => it.start_after.clone().unwrap_or_default(),
        };
        let listing = self.list(&it.bucket, &prefix, it.delimiter.as_deref(), &after, limit).await?;
        let with_owner = it.fetch_owner.unwrap_or(false);
        let groups = listing.groups;
        let output = ListObjectsV2Output {
            key_count: i32::try_from(groups.items.len() + groups.prefixes.len()).ok(),
            contents: Some(groups.items.iter().map(|entry| object(entry, encode, with_owner)).collect()),
            common_prefixes: Some(groups.common_prefixes(encode)),
            is_truncated: Some(groups.more),
            next_continuation_token: listing.next.map(|next| URL_SAFE_NO_PAD.encode(next)),
            continuation_token: it.continuation_token,
            name: Some(it.bucket),
            prefix: Some(encode(&prefix)),
            max_keys: Some(it.max_keys.unwrap_or(PAGE)),
            delimiter: it.delimiter.as_deref().filter(|it| !it.is_empty()).map(encode),
            start_after: it.start_after.as_deref().map(encode),
            encoding_type: it.encoding_type,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn list_object_versions(
        &self,
        req: S3Request<ListObjectVersionsInput>,
    ) -> S3Result<S3Response<ListObjectVersionsOutput>> {
        let it = req.input;
        let encode = encoder(it.encoding_type.as_ref())?;
        let limit = page_limit(it.max_keys)?;
        let bucket = self.bucket(&it.bucket).await?;
        let prefix = it.prefix.clone().unwrap_or_default();
        let range = Range::of_prefix(&prefix);
        let key_marker = it.key_marker.clone().unwrap_or_default();
        let version_marker = it.version_id_marker.clone().filter(|marker| !marker.is_empty());
        // Behind all versions of the marker's key, unless a version is named.
        let revision = match version_marker.as_deref() {
            Some(version) => stored::revision(&self.database, bucket.id, &key_marker, version)
                .await
                .map_err(errors::database)?
                .unwrap_or(0),
            None => 0,
        };
        let mut groups = Groups::<Entry>::new(&prefix, it.delimiter.as_deref(), limit);
        let mut start = match groups.common_prefix_of_marker(&key_marker, &prefix) {
            Some(skipped) => behind(skipped.as_bytes()).map(|from| (from, i64::MAX)),
            None if key_marker.is_empty() => Some((Vec::new(), i64::MAX)),
            None => Some((key_marker.clone().into_bytes(), revision)),
        };
        let batch = i64::from(limit) + 1;
        'pages: while let Some((key, revision)) = start {
            let from = (key.as_slice(), revision);
            let found = stored::versions(&self.database, bucket.id, &range, from, batch)
                .await
                .map_err(errors::database)?;
            let is_last = i64::try_from(found.len()).unwrap_or(batch) < batch;
            let mut last = (String::new(), 0);
            for entry in found {
                last = (entry.key.clone(), entry.revision);
                if !groups.take(&entry.key.clone(), entry) {
                    break 'pages;
                }
            }
            if is_last {
                break;
            }
            start = match groups.common_prefix(&last.0) {
                Some(prefix) => behind(prefix.as_bytes()).map(|from| (from, i64::MAX)),
                None => Some((last.0.into_bytes(), last.1)),
            };
        }
        let last_version = groups
            .items
            .last()
            .filter(|entry| groups.last.as_ref() == Some(&entry.key))
            .map(|entry| entry.version.clone());
        let markers = groups.items.iter().filter(|entry| entry.marker).map(|entry| DeleteMarkerEntry {
            is_latest: Some(entry.latest),
            key: Some(encode(&entry.key)),
            last_modified: Some(entry.modified.into()),
            owner: Some(acl::owner()),
            version_id: Some(entry.version.clone()),
        });
        let versions = groups.items.iter().filter(|entry| !entry.marker).map(|entry| version(entry, encode));
        let output = ListObjectVersionsOutput {
            versions: Some(versions.collect()),
            delete_markers: Some(markers.collect()),
            common_prefixes: Some(groups.common_prefixes(encode)),
            is_truncated: Some(groups.more),
            next_key_marker: groups.last.as_deref().filter(|_| groups.more).map(encode),
            next_version_id_marker: last_version.filter(|_| groups.more),
            name: Some(it.bucket),
            prefix: Some(encode(&prefix)),
            key_marker: Some(encode(&key_marker)),
            version_id_marker: it.version_id_marker,
            max_keys: Some(it.max_keys.unwrap_or(PAGE)),
            delimiter: it.delimiter.as_deref().filter(|it| !it.is_empty()).map(encode),
            encoding_type: it.encoding_type,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }
}

impl<T> Groups<T> {
    /// The common prefix that a marker is, or lies in: it was listed already, with all its keys.
    fn common_prefix_of_marker<'k>(&self, marker: &'k str, prefix: &str) -> Option<&'k str> {
        if !marker.starts_with(prefix) {
            return None;
        }
        self.common_prefix(marker).filter(|common| *common == marker)
    }
}

fn page_limit(wished: Option<i32>) -> S3Result<i32> {
    match wished {
        Some(negative) if negative < 0 => Err(s3_error!(InvalidArgument, "max-keys is not negative")),
        wished => Ok(wished.unwrap_or(PAGE).min(PAGE)),
    }
}

fn of_token(token: &str) -> S3Result<String> {
    let text = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// The kinds and the type of the checksums of an entry.
fn sums(entry: &Entry) -> (Option<Vec<ChecksumAlgorithm>>, Option<ChecksumType>) {
    let kinds: Vec<_> = entry.kinds.iter().map(|kind| ChecksumAlgorithm::from_static(kind.name())).collect();
    let kind = if entry.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    let kind = (!kinds.is_empty()).then(|| ChecksumType::from_static(kind));
    ((!kinds.is_empty()).then_some(kinds), kind)
}

fn object(entry: &Entry, encode: fn(&str) -> String, with_owner: bool) -> Object {
    let (checksum_algorithm, checksum_type) = sums(entry);
    Object {
        checksum_algorithm,
        checksum_type,
        e_tag: Some(ETag::Strong(entry.etag.clone())),
        key: Some(encode(&entry.key)),
        last_modified: Some(entry.modified.into()),
        owner: with_owner.then(acl::owner),
        restore_status: None,
        size: Some(entry.size),
        storage_class: Some(ObjectStorageClass::from(
            entry.storage_class.clone().unwrap_or_else(|| ObjectStorageClass::STANDARD.to_owned()),
        )),
    }
}

fn version(entry: &Entry, encode: fn(&str) -> String) -> ObjectVersion {
    let (checksum_algorithm, checksum_type) = sums(entry);
    ObjectVersion {
        checksum_algorithm,
        checksum_type,
        e_tag: Some(ETag::Strong(entry.etag.clone())),
        is_latest: Some(entry.latest),
        key: Some(encode(&entry.key)),
        last_modified: Some(entry.modified.into()),
        owner: Some(acl::owner()),
        restore_status: None,
        size: Some(entry.size),
        storage_class: Some(ObjectVersionStorageClass::from(
            entry.storage_class.clone().unwrap_or_else(|| ObjectVersionStorageClass::STANDARD.to_owned()),
        )),
        version_id: Some(entry.version.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_with_a_common_prefix_are_one_entry_of_a_page() {
        let mut groups = Groups::new("a/", Some("/"), 2);
        assert!(groups.take("a/b/1", 1) && groups.take("a/b/2", 2) && groups.take("a/c", 3));
        assert!(!groups.take("a/d/1", 4) && groups.more);
        assert_eq!(
            (groups.items.as_slice(), groups.prefixes.as_slice()),
            (&[3][..], &["a/b/".to_owned()][..])
        );
        assert_eq!(groups.last.as_deref(), Some("a/c"));
    }

    #[test]
    fn a_page_without_room_is_the_last_one() {
        let mut groups = Groups::new("", None, 0);
        assert!(!groups.take("a", 1) && !groups.more);
    }

    #[test]
    fn what_a_url_cannot_have_is_encoded_in_keys() {
        assert_eq!(encoded("a b/ä+&.txt"), "a%20b/%C3%A4%2B%26.txt");
    }
}
