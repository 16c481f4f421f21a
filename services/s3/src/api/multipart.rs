//! Objects that are uploaded in parts.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    crypto::{Checksum as _, Md5},
    dto::{
        AbortMultipartUploadInput, AbortMultipartUploadOutput, ChecksumAlgorithm, ChecksumType,
        CompleteMultipartUploadInput, CompleteMultipartUploadOutput, CompletedPart, CopyPartResult,
        CreateMultipartUploadInput, CreateMultipartUploadOutput, ETag, Initiator, ListMultipartUploadsInput,
        ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part as ListedPart,
        Range, ServerSideEncryption, StorageClass, UploadPartCopyInput, UploadPartCopyOutput,
        UploadPartInput, UploadPartOutput,
    },
    s3_error,
};

use super::{
    Api, copying,
    listing::{self, Page, encoded},
    locks::lock_in,
    no_upload,
    putting::{announced, head_in, md5, redirect},
    refused,
};
use crate::{
    acl::{self, grants_in},
    body::{Content, Expected, Received, receive},
    checksums::{Kind, Sums, put_sums, sums_in},
    conditions::{self, Conditions},
    errors,
    store::{
        listing::Range as Keys,
        objects::{Condition, Head, PartOf},
        uploads::{self, Part, Plan, Upload},
    },
    tags,
};

/// The smallest part that is not the last one, in bytes.
const SMALLEST: i64 = 5 << 20;

/// The highest number of a part.
const LAST: i32 = 10_000;

/// Parts and uploads on a page.
const PAGE: i32 = 1000;

impl Api {
    pub(super) async fn create_multipart_upload(
        &self,
        req: S3Request<CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<CreateMultipartUploadOutput>> {
        let S3Request { input: mut it, headers, .. } = req;
        if it.sse_customer_algorithm.is_some() {
            return Err(s3_error!(NotImplemented, "encryption with a key of the client is not supported"));
        }
        let acl = self.object_acl(&it.bucket, it.acl.as_ref(), grants_in!(it)).await?;
        let tags = tags::of_header(it.tagging.as_deref())?;
        let lock = lock_in!(self, it);
        let kind = it.checksum_algorithm.as_ref().map(|kind| Kind::of_name(kind.as_str())).transpose()?;
        let composite = is_composite(kind, it.checksum_type.as_ref())?;
        let mut head = head_in!(it);
        head.redirect = redirect(&headers);
        let plan = Plan { head, kind, composite };
        let id = uploads::start(&self.database, &it.bucket, &it.key, &plan, &tags, &acl, &lock)
            .await
            .map_err(errors::database)?
            .ok_or_else(super::no_bucket)?;
        let output = CreateMultipartUploadOutput {
            bucket: Some(it.bucket),
            key: Some(it.key),
            upload_id: Some(id),
            checksum_algorithm: kind.map(algorithm),
            checksum_type: kind.map(|_| checksum_type(composite)),
            server_side_encryption: plan.head.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: plan.head.encryption_key,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn upload(&self, bucket: &str, key: &str, id: &str) -> S3Result<Upload> {
        match uploads::find(&self.database, bucket, key, id).await.map_err(errors::database)? {
            Some(upload) => Ok(upload),
            None if self.is_missing(bucket).await? => Err(super::no_bucket()),
            None => Err(no_upload()),
        }
    }

    pub(super) async fn upload_part(
        &self,
        req: S3Request<UploadPartInput>,
    ) -> S3Result<S3Response<UploadPartOutput>> {
        let S3Request { input: mut it, headers, trailing_headers, .. } = req;
        check_number(it.part_number)?;
        let upload = self.upload(&it.bucket, &it.key, &it.upload_id).await?;
        let expected = Expected {
            md5: md5(&headers, it.content_md5.take()),
            sums: sums_in!(it),
            kind: upload.plan.kind.or(it
                .checksum_algorithm
                .as_ref()
                .map(|kind| Kind::of_name(kind.as_str()))
                .transpose()?),
            trailers: trailing_headers,
            announced: announced(&headers)?,
            length: it.content_length,
        };
        let given = expected.sums.keys().chain(&expected.announced).next().copied();
        if let (Some(planned), Some(given)) = (upload.plan.kind, given)
            && planned != given
        {
            return Err(s3_error!(
                InvalidRequest,
                "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                planned.name().to_lowercase(),
                given.name().to_lowercase()
            ));
        }
        // Parts are files, however small: an object that consists of them names files.
        let received = receive(&self.blobs, it.body.take(), expected, 0).await?;
        let sums = received.sums.clone();
        let etag = self.put_part(&upload, it.part_number, received).await?;
        let mut output = UploadPartOutput { e_tag: Some(ETag::Strong(etag)), ..Default::default() };
        put_sums!(output, &sums);
        output.server_side_encryption = upload.plan.head.encryption.map(ServerSideEncryption::from);
        Ok(S3Response::new(output))
    }

    /// Puts a part that has arrived, and returns its tag.
    async fn put_part(&self, upload: &Upload, number: i32, received: Received) -> S3Result<String> {
        let etag = hex::encode(received.md5);
        let content = match received.content {
            // An empty part has no bytes that would have led to a file.
            Content::Row(_) => Content::File(self.blobs.empty().await.map_err(errors::disk)?),
            file @ Content::File(_) => file,
        };
        let file = content.columns().1[0];
        let stale =
            uploads::put_part(&self.database, &upload.id, number, received.size, &etag, &received.sums, file)
                .await
                .map_err(errors::database)?
                .ok_or_else(no_upload)?;
        content.keep();
        self.blobs.remove(stale);
        Ok(etag)
    }

    pub(super) async fn upload_part_copy(
        &self,
        req: S3Request<UploadPartCopyInput>,
    ) -> S3Result<S3Response<UploadPartCopyOutput>> {
        let it = req.input;
        check_number(it.part_number)?;
        let upload = self.upload(&it.bucket, &it.key, &it.upload_id).await?;
        let conditions = Conditions {
            if_match: it.copy_source_if_match,
            if_none_match: it.copy_source_if_none_match,
            if_modified_since: it.copy_source_if_modified_since,
            if_unmodified_since: it.copy_source_if_unmodified_since,
        };
        let (mut version, versioned) = self.source(copying::source(&it.copy_source)?, &conditions).await?;
        let size = u64::try_from(version.size).unwrap_or_default();
        let bytes = match it.copy_source_range.as_deref() {
            None => 0..size,
            Some(text) => copied_range(text, size)?,
        };
        let body = self.content(&mut version, bytes);
        let expected = Expected { kind: upload.plan.kind, ..Expected::default() };
        let received = receive(&self.blobs, Some(body), expected, 0).await?;
        let sums = received.sums.clone();
        let etag = self.put_part(&upload, it.part_number, received).await?;
        let mut result = CopyPartResult {
            e_tag: Some(ETag::Strong(etag)),
            last_modified: Some(time::OffsetDateTime::now_utc().into()),
            ..Default::default()
        };
        put_sums!(result, &sums);
        let output = UploadPartCopyOutput {
            copy_part_result: Some(result),
            copy_source_version_id: versioned.then_some(version.id),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn complete_multipart_upload(
        &self,
        req: S3Request<CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<CompleteMultipartUploadOutput>> {
        let it = req.input;
        let upload = self.upload(&it.bucket, &it.key, &it.upload_id).await?;
        let wished = it.multipart_upload.clone().and_then(|upload| upload.parts).unwrap_or_default();
        let there =
            uploads::parts(&self.database, &upload.id, 0, i64::from(LAST)).await.map_err(errors::database)?;
        let parts = chosen(&wished, &there)?;
        let size: i64 = parts.iter().map(|part| part.size).sum();
        if it.mpu_object_size.is_some_and(|expected| expected != size) {
            return Err(s3_error!(
                InvalidRequest,
                "the parts have {size} bytes together, and another size was announced"
            ));
        }
        let mut md5 = Md5::new();
        for part in &parts {
            md5.update(&hex::decode(&part.etag).unwrap_or_default());
        }
        let etag = format!("{}-{}", hex::encode(md5.finalize()), parts.len());
        let (sums, composite) = sums_of(&parts, &upload.plan);
        for (kind, expected) in sums_in!(it) {
            if sums.get(&kind) != Some(&expected) {
                return Err(s3_error!(
                    BadDigest,
                    "The {} you specified did not match the calculated checksum.",
                    kind.name()
                ));
            }
        }
        let part_of = |part: &Part| PartOf { number: part.number, size: part.size, sums: part.sums.clone() };
        let head = Head { sums, composite, parts: parts.iter().map(part_of).collect(), ..upload.plan.head };
        let condition = Condition {
            if_match: conditions::text(it.if_match.as_ref()),
            if_none_match: conditions::text(it.if_none_match.as_ref()),
        };
        let changed = uploads::complete(&self.database, &upload.id, &etag, &parts, &head, condition)
            .await
            .map_err(errors::database)?
            .map_err(refused)?;
        self.blobs.remove(changed.stale);
        let host = req.headers.get("host").and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        let mut output = CompleteMultipartUploadOutput {
            location: Some(format!("http://{host}/{}/{}", it.bucket, encoded(&it.key))),
            bucket: Some(it.bucket),
            key: Some(it.key),
            e_tag: Some(ETag::Strong(etag)),
            version_id: changed.version,
            checksum_type: head.checksum_type(),
            ..Default::default()
        };
        put_sums!(output, &head.sums);
        output.server_side_encryption = head.encryption.map(ServerSideEncryption::from);
        Ok(S3Response::new(output))
    }

    pub(super) async fn abort_multipart_upload(
        &self,
        req: S3Request<AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<AbortMultipartUploadOutput>> {
        let it = req.input;
        let stale = uploads::abort(&self.database, &it.bucket, &it.key, &it.upload_id)
            .await
            .map_err(errors::database)?
            .ok_or_else(no_upload)?;
        self.blobs.remove(stale);
        Ok(S3Response::new(AbortMultipartUploadOutput::default()))
    }

    pub(super) async fn list_parts(
        &self,
        req: S3Request<ListPartsInput>,
    ) -> S3Result<S3Response<ListPartsOutput>> {
        let it = req.input;
        let upload = self.upload(&it.bucket, &it.key, &it.upload_id).await?;
        let limit = it.max_parts.unwrap_or(PAGE).clamp(0, PAGE);
        let after = it.part_number_marker.unwrap_or(0);
        let found = uploads::parts(&self.database, &upload.id, after, i64::from(limit) + 1)
            .await
            .map_err(errors::database)?;
        let page = Page::of(found, limit);
        let kind = upload.plan.kind;
        let parts = page.items.iter().map(|part| {
            let mut listed = ListedPart {
                e_tag: Some(ETag::Strong(part.etag.clone())),
                last_modified: Some(part.modified.into()),
                part_number: Some(part.number),
                size: Some(part.size),
                ..Default::default()
            };
            if kind.is_some() {
                put_sums!(listed, &part.sums);
            }
            listed
        });
        let output = ListPartsOutput {
            parts: Some(parts.collect()),
            bucket: Some(it.bucket),
            key: Some(it.key),
            upload_id: Some(it.upload_id),
            part_number_marker: Some(after),
            next_part_number_marker: page.items.last().filter(|_| page.more).map(|part| part.number),
            max_parts: Some(limit),
            is_truncated: Some(page.more),
            owner: Some(acl::owner()),
            initiator: Some(initiator()),
            storage_class: Some(class(upload.plan.head.storage_class.as_deref())),
            checksum_algorithm: kind.map(algorithm),
            checksum_type: kind.map(|_| checksum_type(upload.plan.composite)),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn list_multipart_uploads(
        &self,
        req: S3Request<ListMultipartUploadsInput>,
    ) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
        let it = req.input;
        let bucket = self.bucket(&it.bucket).await?;
        let encode = listing::encoder(it.encoding_type.as_ref())?;
        let limit = it.max_uploads.unwrap_or(PAGE).clamp(0, PAGE);
        let prefix = it.prefix.clone().unwrap_or_default();
        let range = Keys::of_prefix(&prefix);
        let key_marker = it.key_marker.clone().unwrap_or_default();
        let id_marker = it.upload_id_marker.clone().filter(|_| !key_marker.is_empty());
        // Without the name of an upload, all uploads of the key are behind the marker: no name is greater than this.
        let behind = id_marker.as_deref().unwrap_or(if key_marker.is_empty() { "" } else { "~" });
        let mut after = (key_marker.clone().into_bytes(), behind.to_owned());
        let mut groups = listing::Groups::new(&prefix, it.delimiter.as_deref(), limit);
        'pages: loop {
            let from = (after.0.as_slice(), after.1.as_str());
            let batch = i64::from(limit) + 1;
            let found = uploads::list(&self.database, bucket.id, &range, from, batch)
                .await
                .map_err(errors::database)?;
            let is_last = i64::try_from(found.len()).unwrap_or(batch) < batch;
            for upload in found {
                after = (upload.key.clone().into_bytes(), upload.id.clone());
                if !groups.take(&upload.key.clone(), upload) {
                    break 'pages;
                }
            }
            if is_last {
                break;
            }
        }
        let last = groups.items.last();
        let more = groups.more;
        let uploads = groups.items.iter().map(|upload| MultipartUpload {
            key: Some(encode(&upload.key)),
            upload_id: Some(upload.id.clone()),
            initiated: Some(upload.started.into()),
            owner: Some(acl::owner()),
            initiator: Some(initiator()),
            storage_class: Some(class(upload.plan.head.storage_class.as_deref())),
            checksum_algorithm: upload.plan.kind.map(algorithm),
            checksum_type: upload.plan.kind.map(|_| checksum_type(upload.plan.composite)),
        });
        let output = ListMultipartUploadsOutput {
            next_key_marker: last.filter(|_| more).map(|upload| encode(&upload.key)),
            next_upload_id_marker: last.filter(|_| more).map(|upload| upload.id.clone()),
            uploads: Some(uploads.collect()),
            common_prefixes: Some(groups.common_prefixes(encode)),
            bucket: Some(it.bucket),
            delimiter: it.delimiter.as_deref().map(encode),
            encoding_type: it.encoding_type,
            is_truncated: Some(more),
            key_marker: Some(encode(&key_marker)),
            max_uploads: Some(limit),
            prefix: Some(encode(&prefix)),
            upload_id_marker: it.upload_id_marker,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }
}

/// Whether the checksum of the object is of those of the parts.
fn is_composite(kind: Option<Kind>, wished: Option<&ChecksumType>) -> S3Result<bool> {
    let wished = wished.map(ChecksumType::as_str);
    let invalid = |kind: Kind, what: &str| -> S3Error {
        s3_error!(
            InvalidRequest,
            "The {what} checksum type cannot be used with the {} checksum algorithm.",
            kind.name()
        )
    };
    match (kind, wished) {
        (None, Some(_)) => Err(s3_error!(
            InvalidRequest,
            "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header."
        )),
        (None | Some(Kind::Crc64Nvme), None) | (Some(Kind::Crc64Nvme), Some(ChecksumType::FULL_OBJECT)) => {
            Ok(false)
        }
        (Some(kind @ Kind::Crc64Nvme), Some(_)) => Err(invalid(kind, "COMPOSITE")),
        (Some(kind), Some(ChecksumType::FULL_OBJECT)) if kind.combines() => Ok(false),
        (Some(kind), Some(ChecksumType::FULL_OBJECT)) => Err(invalid(kind, "FULL_OBJECT")),
        (Some(_), _) => Ok(true),
    }
}

fn check_number(number: i32) -> S3Result<()> {
    if (1..=LAST).contains(&number) {
        Ok(())
    } else {
        Err(s3_error!(InvalidArgument, "Part number must be an integer between 1 and {LAST}, inclusive"))
    }
}

fn copied_range(text: &str, size: u64) -> S3Result<std::ops::Range<u64>> {
    let invalid = || {
        s3_error!(
            InvalidArgument,
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy"
        )
    };
    match Range::parse(text) {
        Ok(Range::Int { first, last: Some(last) }) if last < size => Ok(first..last + 1),
        Ok(Range::Int { last: Some(_), .. }) => {
            Err(s3_error!(InvalidRange, "Range specified is not valid for source object of size: {size}"))
        }
        _ => Err(invalid()),
    }
}

/// The parts that the client has named, as they are there.
fn chosen(wished: &[CompletedPart], there: &[Part]) -> S3Result<Vec<Part>> {
    if wished.is_empty() {
        return Err(s3_error!(MalformedXML, "You must specify at least one part"));
    }
    let mut parts: Vec<Part> = Vec::new();
    for wish in wished {
        let number = wish.part_number.unwrap_or(0);
        if parts.last().is_some_and(|last| last.number >= number) {
            return Err(s3_error!(
                InvalidPartOrder,
                "The list of parts was not in ascending order. Parts must be ordered by part number."
            ));
        }
        let invalid = || {
            s3_error!(
                InvalidPart,
                "One or more of the specified parts could not be found. The part may not have been uploaded, or the specified entity tag may not match the part's entity tag."
            )
        };
        let part = there.iter().find(|part| part.number == number).ok_or_else(invalid)?;
        if wish.e_tag.as_ref().is_some_and(|etag| etag.value() != part.etag) {
            return Err(invalid());
        }
        for (kind, sum) in sums_in!(wish) {
            if part.sums.get(&kind).is_some_and(|known| *known != sum) {
                return Err(invalid());
            }
        }
        parts.push(part.clone());
    }
    let all_but_last = &parts[..parts.len() - 1];
    if all_but_last.iter().any(|part| part.size < SMALLEST) {
        return Err(s3_error!(
            EntityTooSmall,
            "Your proposed upload is smaller than the minimum allowed size"
        ));
    }
    Ok(parts)
}

/// The checksum of the object, and whether it is composite.
fn sums_of(parts: &[Part], plan: &Plan) -> (Sums, bool) {
    let kind = plan.kind.unwrap_or(Kind::DEFAULT);
    let known: Option<Vec<_>> = parts
        .iter()
        .map(|part| Some((part.sums.get(&kind)?.as_str(), u64::try_from(part.size).unwrap_or_default())))
        .collect();
    let sum =
        known.and_then(|known| if plan.composite { kind.composite(&known) } else { kind.whole(&known) });
    (sum.map(|sum| (kind, sum)).into_iter().collect(), plan.composite)
}

fn algorithm(kind: Kind) -> ChecksumAlgorithm {
    ChecksumAlgorithm::from_static(kind.name())
}

fn checksum_type(composite: bool) -> ChecksumType {
    ChecksumType::from_static(if composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT })
}

fn class(class: Option<&str>) -> StorageClass {
    StorageClass::from(class.unwrap_or(StorageClass::STANDARD).to_owned())
}

fn initiator() -> Initiator {
    let owner = acl::owner();
    Initiator { display_name: owner.display_name, id: owner.id }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_type_of_a_checksum_follows_its_algorithm_unless_it_is_given() {
        let full = ChecksumType::from_static(ChecksumType::FULL_OBJECT);
        let composite = ChecksumType::from_static(ChecksumType::COMPOSITE);
        assert!(is_composite(Some(Kind::Crc32), None).unwrap());
        assert!(!is_composite(Some(Kind::Crc32), Some(&full)).unwrap());
        assert!(!is_composite(Some(Kind::Crc64Nvme), None).unwrap());
        assert!(is_composite(Some(Kind::Crc64Nvme), Some(&composite)).is_err());
        assert!(is_composite(Some(Kind::Sha256), Some(&full)).is_err());
        assert!(is_composite(None, Some(&full)).is_err());
    }

    #[test]
    fn a_copied_range_has_both_ends_inside_of_the_source() {
        assert_eq!(copied_range("bytes=0-9", 10).unwrap(), 0..10);
        assert_eq!(copied_range("bytes=0-10", 10).unwrap_err().code().as_str(), "InvalidRange");
        for text in ["bytes=5-", "bytes=-5", "0-5", "bytes=a-b"] {
            assert_eq!(copied_range(text, 10).unwrap_err().code().as_str(), "InvalidArgument", "{text}");
        }
    }
}
