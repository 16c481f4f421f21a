//! Copies inside of the service. Files are not copied: both objects name the same content, each by a name of its own.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, ETag, ETagCondition,
        MetadataDirective, ServerSideEncryption, TaggingDirective,
    },
    s3_error,
};

use super::{
    Api,
    locks::lock_in,
    putting::{REDIRECT, head_in, redirect},
    refused,
};
use crate::{
    acl::grants_in,
    body::{Content, Expected, Received, SMALL, receive},
    checksums::{Kind, Sums, put_sums},
    conditions::{self, Conditions},
    errors,
    store::objects::{self, Address, Condition, New, Version},
    tags,
};

impl Api {
    pub(super) async fn copy_object(
        &self,
        req: S3Request<CopyObjectInput>,
    ) -> S3Result<S3Response<CopyObjectOutput>> {
        let S3Request { input: mut it, headers, .. } = req;
        if it.sse_customer_algorithm.is_some() || it.copy_source_sse_customer_algorithm.is_some() {
            return Err(s3_error!(NotImplemented, "encryption with a key of the client is not supported"));
        }
        let from = source(&it.copy_source)?;
        let conditions = Conditions {
            if_match: it.copy_source_if_match.take(),
            if_none_match: it.copy_source_if_none_match.take(),
            if_modified_since: it.copy_source_if_modified_since.take(),
            if_unmodified_since: it.copy_source_if_unmodified_since.take(),
        };
        let (version, versioned) = self.source(from, &conditions).await?;
        let replaces =
            it.metadata_directive.as_ref().map(MetadataDirective::as_str) == Some(MetadataDirective::REPLACE);
        let is_same = from.bucket == it.bucket && from.key == it.key && from.version.is_none();
        let class = it.storage_class.clone();
        if is_same
            && !replaces
            && class.is_none()
            && it.server_side_encryption.is_none()
            && !headers.contains_key(REDIRECT)
        {
            return Err(s3_error!(
                InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes."
            ));
        }
        let acl = self.object_acl(&it.bucket, it.acl.as_ref(), grants_in!(it)).await?;
        let replaces_tags =
            it.tagging_directive.as_ref().map(TaggingDirective::as_str) == Some(TaggingDirective::REPLACE);
        let tags = if replaces_tags { tags::of_header(it.tagging.as_deref())? } else { version.tags.clone() };
        let lock = lock_in!(self, it);
        let source_version = versioned.then(|| version.id.clone());
        let wished = head_in!(it);
        let mut head = version.head.clone();
        head.redirect = redirect(&headers);
        (head.storage_class, head.encryption, head.encryption_key) =
            (wished.storage_class.clone(), wished.encryption.clone(), wished.encryption_key.clone());
        if replaces {
            head = objects::Head {
                sums: head.sums,
                composite: head.composite,
                redirect: head.redirect,
                ..wished
            };
        }
        // A copy is one piece, whatever its source was. So is the checksum that is asked for.
        head.parts = Vec::new();
        let kind = it.checksum_algorithm.as_ref().map(|kind| Kind::of_name(kind.as_str())).transpose()?;
        let is_known = !head.composite && kind.is_none_or(|kind| head.sums.contains_key(&kind));
        let copied = self.copied(version, kind, is_known).await?;
        (head.sums, head.composite) = (copied.sums.clone(), false);
        let (content, files) = copied.content.columns();
        let condition = condition(&headers, "if-match", "if-none-match")?;
        let new = New {
            bucket: &it.bucket,
            key: &it.key,
            size: copied.size,
            etag: &copied.etag,
            content,
            files,
            sizes: &copied.sizes,
            head: &head,
            tags: &tags,
            acl: &acl,
            lock: &lock,
            condition: condition.borrowed(),
        };
        let changed = objects::put(&self.database, new).await.map_err(errors::database)?.map_err(refused)?;
        copied.content.keep();
        self.blobs.remove(changed.stale);
        let mut result = CopyObjectResult {
            e_tag: Some(ETag::Strong(copied.etag)),
            last_modified: Some(time::OffsetDateTime::now_utc().into()),
            checksum_type: head.checksum_type(),
            ..Default::default()
        };
        put_sums!(result, &head.sums);
        let output = CopyObjectOutput {
            copy_object_result: Some(result),
            copy_source_version_id: source_version,
            version_id: changed.version,
            server_side_encryption: head.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: head.encryption_key,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    /// Finds the source of a copy, and says whether its bucket keeps versions.
    pub(super) async fn source(
        &self,
        from: Address<'_>,
        conditions: &Conditions,
    ) -> S3Result<(Version, bool)> {
        let found = self.find(from, true).await?;
        let versioned = found.versioned;
        let is_marker = found.version.as_ref().is_some_and(|version| version.marker);
        if is_marker && from.version.is_some() {
            return Err(s3_error!(
                InvalidRequest,
                "The source of a copy request may not specifically refer to a delete marker by version id."
            ));
        }
        let version = found.object(from)?;
        conditions.check(&version.etag, version.modified, true)?;
        Ok((version, versioned))
    }

    /// Copies the content of a version. What is not known of it as one piece is computed, for which it is read.
    async fn copied(&self, mut version: Version, kind: Option<Kind>, is_known: bool) -> S3Result<Copied> {
        if !is_known || version.etag.contains('-') {
            let kind = kind.or_else(|| version.head.sums.keys().next().copied());
            let size = u64::try_from(version.size).unwrap_or_default();
            let body = self.content(&mut version, 0..size);
            let expected = Expected { kind, ..Expected::default() };
            let received = receive(&self.blobs, Some(body), expected, SMALL).await?;
            let sizes = match &received.content {
                Content::Row(_) => Vec::new(),
                Content::File(_) => vec![received.size],
            };
            let Received { size, md5, sums, content } = received;
            return Ok(Copied { size, etag: hex::encode(md5), sums, sizes, content });
        }
        let content = match version.content {
            Some(content) => Content::Row(content),
            None => Content::File(self.blobs.link(version.files).await.map_err(errors::disk)?),
        };
        let Version { size, etag, sizes, .. } = version;
        Ok(Copied { size, etag, sums: version.head.sums, sizes, content })
    }
}

/// The content of a copy.
struct Copied {
    size: i64,
    etag: String,
    sums: Sums,
    sizes: Vec<i64>,
    content: Content,
}

/// The object that is copied.
pub(super) fn source(source: &CopySource) -> S3Result<Address<'_>> {
    match source {
        CopySource::Bucket { bucket, key, version_id } => {
            Ok(Address { bucket, key, version: version_id.as_deref() })
        }
        _ => Err(s3_error!(NotImplemented, "there are no access points")),
    }
}

/// A condition of headers that crate `s3s` does not read.
struct HeaderCondition {
    if_match: Option<ETagCondition>,
    if_none_match: Option<ETagCondition>,
}

impl HeaderCondition {
    fn borrowed(&self) -> Condition<'_> {
        Condition {
            if_match: conditions::text(self.if_match.as_ref()),
            if_none_match: conditions::text(self.if_none_match.as_ref()),
        }
    }
}

fn condition(headers: &axum::http::HeaderMap, matching: &str, differing: &str) -> S3Result<HeaderCondition> {
    let read = |name: &str| {
        let value = headers.get(name).map(|value| ETagCondition::parse_http_header(value.as_bytes()));
        value.transpose().map_err(|error| -> S3Error {
            s3_error!(error, InvalidArgument, "`{name}` is not an entity tag")
        })
    };
    Ok(HeaderCondition { if_match: read(matching)?, if_none_match: read(differing)? })
}
