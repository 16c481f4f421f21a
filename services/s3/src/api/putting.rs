//! Objects that come in one piece.

use std::collections::BTreeMap;

use axum::http::HeaderMap;
use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        ChecksumType, ETag, ObjectCannedACL, PutObjectInput, PutObjectOutput, ServerSideEncryption,
        Timestamp, TimestampFormat,
    },
    s3_error,
};

use super::{Api, locks::lock_in, refused};
use crate::{
    acl::{Acl, Wish, grants_in},
    body::{Expected, SMALL, receive},
    checksums::{Kind, put_sums, sums_in},
    conditions, errors,
    store::objects::{self, Condition, Head, New},
    tags,
};

/// Most bytes of a client's own metadata.
const METADATA_LIMIT: usize = 2048;

/// The header with the address that the page of an object leads to.
pub(super) const REDIRECT: &str = "x-amz-website-redirect-location";

/// Collects what a request says about the head of its object.
macro_rules! head_in {
    ($it:expr) => {
        $crate::store::objects::Head {
            metadata: $crate::api::putting::metadata($it.metadata.take())?,
            content_type: $it.content_type.take(),
            cache_control: $it.cache_control.take(),
            content_disposition: $it.content_disposition.take(),
            content_encoding: $crate::api::putting::encoding($it.content_encoding.take()),
            content_language: $it.content_language.take(),
            expires: $it.expires.take().map($crate::api::putting::http_date),
            redirect: None,
            storage_class: $it.storage_class.take().map(|class| class.as_str().to_owned()),
            encryption: $it.server_side_encryption.take().map(|way| way.as_str().to_owned()),
            encryption_key: $it.ssekms_key_id.take(),
            ..$crate::store::objects::Head::default()
        }
    };
}

pub(super) use head_in;

/// Where the page of an object leads, for requests of which crate `s3s` gives no field for it.
pub(super) fn redirect(headers: &HeaderMap) -> Option<String> {
    headers.get(REDIRECT)?.to_str().ok().map(str::to_owned)
}

impl Api {
    pub(super) async fn put_object(
        &self,
        req: S3Request<PutObjectInput>,
    ) -> S3Result<S3Response<PutObjectOutput>> {
        let S3Request { input: mut it, headers, trailing_headers, .. } = req;
        if it.sse_customer_algorithm.is_some() {
            return Err(s3_error!(NotImplemented, "encryption with a key of the client is not supported"));
        }
        if it.content_length.is_none() && !headers.contains_key("x-amz-decoded-content-length") {
            return Err(s3_error!(MissingContentLength, "You must provide the Content-Length HTTP header."));
        }
        let acl = self.object_acl(&it.bucket, it.acl.as_ref(), grants_in!(it)).await?;
        let tags = tags::of_header(it.tagging.as_deref())?;
        let lock = lock_in!(self, it);
        let mut head = head_in!(it);
        head.redirect = it.website_redirect_location.take();
        let expected = Expected {
            md5: md5(&headers, it.content_md5.take()),
            sums: sums_in!(it),
            kind: it.checksum_algorithm.as_ref().map(|kind| Kind::of_name(kind.as_str())).transpose()?,
            trailers: trailing_headers,
            announced: announced(&headers)?,
            length: it.content_length,
        };
        let received = receive(&self.blobs, it.body.take(), expected, SMALL).await?;
        head.sums = received.sums;
        let etag = hex::encode(received.md5);
        let (content, files) = received.content.columns();
        let sizes: &[i64] = if files.is_empty() { &[] } else { &[received.size] };
        let new = New {
            bucket: &it.bucket,
            key: &it.key,
            size: received.size,
            etag: &etag,
            content,
            files,
            sizes,
            head: &head,
            tags: &tags,
            acl: &acl,
            lock: &lock,
            condition: Condition {
                if_match: conditions::text(it.if_match.as_ref()),
                if_none_match: conditions::text(it.if_none_match.as_ref()),
            },
        };
        let changed = objects::put(&self.database, new).await.map_err(errors::database)?.map_err(refused)?;
        received.content.keep();
        self.blobs.remove(changed.stale);
        let mut output = PutObjectOutput {
            e_tag: Some(ETag::Strong(etag)),
            version_id: changed.version,
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            server_side_encryption: head.encryption.map(ServerSideEncryption::from),
            ssekms_key_id: head.encryption_key,
            ..Default::default()
        };
        put_sums!(output, &head.sums);
        Ok(S3Response::new(output))
    }

    /// The list of an object, as it is kept.
    pub(super) async fn object_acl(
        &self,
        bucket: &str,
        canned: Option<&ObjectCannedACL>,
        headers: [(Option<&str>, Option<crate::acl::What>); 5],
    ) -> S3Result<String> {
        let canned = canned.map(ObjectCannedACL::as_str);
        let acl = Acl::of_wish(Wish { canned, headers, document: None })?.unwrap_or_default();
        if acl.is_public() {
            self.check_public_acl(bucket).await?;
        }
        Ok(acl.kept())
    }
}

/// The MD5 that the head says. Crate `s3s` takes an empty one for none.
pub(super) fn md5(headers: &HeaderMap, parsed: Option<String>) -> Option<String> {
    parsed.or_else(|| headers.get("content-md5").map(|_| String::new()))
}

/// The kinds of checksums that follow the content.
pub(super) fn announced(headers: &HeaderMap) -> S3Result<Vec<Kind>> {
    let names = headers.get_all("x-amz-trailer").into_iter().filter_map(|value| value.to_str().ok());
    let known = names.flat_map(|names| names.split(',')).filter(|name| !name.trim().is_empty());
    known
        .map(|name| {
            Kind::of_header(name).ok_or_else(|| {
                s3_error!(InvalidRequest, "The value specified in the x-amz-trailer header is not supported")
            })
        })
        .collect()
}

/// The client's own metadata, unless it is too large.
pub(super) fn metadata(given: Option<s3s::dto::Metadata>) -> S3Result<BTreeMap<String, String>> {
    let metadata: BTreeMap<_, _> = given.unwrap_or_default().into_iter().collect();
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > METADATA_LIMIT {
        return Err(crate::errors::custom(
            "MetadataTooLarge",
            axum::http::StatusCode::BAD_REQUEST,
            "Your metadata headers exceed the maximum allowed metadata size",
        ));
    }
    Ok(metadata)
}

/// The encoding of the content itself: that of the transfer is over.
pub(super) fn encoding(given: Option<String>) -> Option<String> {
    let given = given?;
    let kept: Vec<_> = given
        .split(',')
        .map(str::trim)
        .filter(|encoding| *encoding != "aws-chunked" && !encoding.is_empty())
        .collect();
    (!kept.is_empty()).then(|| kept.join(", "))
}

/// A time as a header has it.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map` passes")]
pub(super) fn http_date(time: Timestamp) -> String {
    let mut text = Vec::new();
    match time.format(TimestampFormat::HttpDate, &mut text) {
        Ok(()) => String::from_utf8(text).unwrap_or_default(),
        Err(_) => String::new(),
    }
}

/// The time of a header.
pub(super) fn of_http_date(text: &str) -> Option<Timestamp> {
    Timestamp::parse(TimestampFormat::HttpDate, text).ok()
}

impl Head {
    /// Its checksums, where a client asks for them.
    pub(super) fn checksum_type(&self) -> Option<ChecksumType> {
        let kind = if self.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
        (!self.sums.is_empty()).then(|| ChecksumType::from_static(kind))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_encoding_of_the_transfer_is_dropped() {
        let of = |text: &str| encoding(Some(text.to_owned()));
        assert_eq!(of("aws-chunked"), None);
        assert_eq!(of("aws-chunked, gzip").as_deref(), Some("gzip"));
        assert_eq!(of("deflate,gzip").as_deref(), Some("deflate, gzip"));
    }

    #[test]
    fn a_trailer_that_is_no_checksum_is_refused() {
        let headers = |value: &'static str| {
            HeaderMap::from_iter([("x-amz-trailer".parse().unwrap(), value.parse().unwrap())])
        };
        assert_eq!(announced(&headers("x-amz-checksum-crc32c")).unwrap(), [Kind::Crc32c]);
        assert!(announced(&headers("x-amz-meta-a")).is_err());
    }
}
