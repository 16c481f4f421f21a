//! Who may make a request: the user with the keys, and everyone where a policy or a list allows it.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use s3s::{
    S3Result,
    access::{S3Access, S3AccessContext},
    auth::{S3Auth, SecretKey},
    dto::PublicAccessBlockConfiguration,
    path::S3Path,
    s3_error,
};

use crate::{
    acl::{Acl, What, Who},
    api::Api,
    errors,
    policy::{ARN, Policy, Question, Verdict},
    store::objects::{self, Address},
    tags,
};

/// Knows the only user's key.
pub(crate) struct Keys(pub(crate) Arc<Api>);

#[async_trait::async_trait]
impl S3Auth for Keys {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        let settings = self.0.settings();
        if settings.access_key.matches(access_key) {
            Ok(SecretKey::from(settings.secret_key.reveal()))
        } else {
            Err(s3_error!(
                InvalidAccessKeyId,
                "The access key id you provided does not exist in our records."
            ))
        }
    }
}

/// Decides.
pub(crate) struct Gate(pub(crate) Arc<Api>);

#[async_trait::async_trait]
impl S3Access for Gate {
    async fn check(&self, cx: &mut S3AccessContext<'_>) -> S3Result<()> {
        let request = Asked {
            by_owner: cx.credentials().is_some(),
            operation: cx.s3_op().name(),
            bucket: match cx.s3_path() {
                S3Path::Root => None,
                S3Path::Bucket { bucket } | S3Path::Object { bucket, .. } => Some(bucket),
            },
            key: match cx.s3_path() {
                S3Path::Object { key, .. } => Some(key),
                _ => None,
            },
            query: cx.uri().query().unwrap_or_default(),
            headers: cx.headers(),
        };
        request.check(&self.0).await
    }
}

/// A request whose signature is right, or that has none.
struct Asked<'a> {
    by_owner: bool,
    operation: &'a str,
    bucket: Option<&'a str>,
    key: Option<&'a str>,
    query: &'a str,
    headers: &'a axum::http::HeaderMap,
}

impl Asked<'_> {
    async fn check(&self, api: &Api) -> S3Result<()> {
        let Some(bucket) = self.bucket else {
            // Without keys the list of buckets is empty.
            return Ok(());
        };
        // What a copy reads would have to be granted as well, and no one without keys has a use for copies.
        if !self.by_owner && matches!(self.operation, "CopyObject" | "UploadPartCopy") {
            return Err(denied());
        }
        let policy = api.rules.text(&api.database, bucket, "policy").await?;
        let mut allowed = false;
        if let Some(text) = policy
            && !(self.by_owner && self.is_about_policies())
        {
            let policy = Policy::parse(&text, bucket)?;
            match self.verdict(api, &policy, bucket).await? {
                Verdict::Denied => return Err(denied()),
                Verdict::Allowed => allowed = true,
                Verdict::Silent => {}
            }
        }
        if self.by_owner {
            return Ok(());
        }
        let block: PublicAccessBlockConfiguration =
            api.rules.value(&api.database, bucket, "public-access-block").await?.unwrap_or_default();
        if allowed && !block.restrict_public_buckets.unwrap_or(false) {
            return Ok(());
        }
        if !block.ignore_public_acls.unwrap_or(false) && self.is_granted(api, bucket).await? {
            return Ok(());
        }
        Err(denied())
    }

    /// Whether the owner could lock themselves out.
    fn is_about_policies(&self) -> bool {
        matches!(self.operation, "GetBucketPolicy" | "PutBucketPolicy" | "DeleteBucketPolicy")
    }

    async fn verdict(&self, api: &Api, policy: &Policy, bucket: &str) -> S3Result<Verdict> {
        let resource = match self.key {
            Some(key) => format!("{ARN}{bucket}/{key}"),
            None if self.operation == "DeleteObjects" || self.operation == "PostObject" => {
                format!("{ARN}{bucket}/")
            }
            None => format!("{ARN}{bucket}"),
        };
        let version = self.parameter("versionId");
        let existing = match self.key {
            Some(key) if policy.asks_for_tags() => {
                let address = Address { bucket, key, version: version.as_deref() };
                let found = objects::find(&api.database, address, false).await.map_err(errors::database)?;
                found.and_then(|found| found.version).map(|version| version.tags).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        let values = |key: &str| self.values(key, &existing);
        let question = Question {
            action: &self.action(version.is_some()),
            resource: &resource,
            by_owner: self.by_owner,
            values: &values,
        };
        Ok(policy.verdict(&question))
    }

    /// The action in policies.
    fn action(&self, with_version: bool) -> String {
        let name = match self.operation {
            "GetObject" | "HeadObject" | "GetObjectAttributes" if with_version => "GetObjectVersion",
            "GetObject" | "HeadObject" | "GetObjectAttributes" => "GetObject",
            "PutObject"
            | "PostObject"
            | "CopyObject"
            | "CreateMultipartUpload"
            | "UploadPart"
            | "UploadPartCopy"
            | "CompleteMultipartUpload" => "PutObject",
            "DeleteObject" if with_version => "DeleteObjectVersion",
            "DeleteObject" | "DeleteObjects" => "DeleteObject",
            "ListObjects" | "ListObjectsV2" | "HeadBucket" => "ListBucket",
            "ListObjectVersions" => "ListBucketVersions",
            "ListMultipartUploads" => "ListBucketMultipartUploads",
            "ListParts" => "ListMultipartUploadParts",
            "GetBucketLifecycleConfiguration" => "GetLifecycleConfiguration",
            "PutBucketLifecycleConfiguration" | "DeleteBucketLifecycle" => "PutLifecycleConfiguration",
            "GetPublicAccessBlock" => "GetBucketPublicAccessBlock",
            "PutPublicAccessBlock" | "DeletePublicAccessBlock" => "PutBucketPublicAccessBlock",
            "GetObjectLockConfiguration" => "GetBucketObjectLockConfiguration",
            "PutObjectLockConfiguration" => "PutBucketObjectLockConfiguration",
            "GetBucketEncryption" => "GetEncryptionConfiguration",
            "PutBucketEncryption" | "DeleteBucketEncryption" => "PutEncryptionConfiguration",
            name => name,
        };
        format!("s3:{name}")
    }

    /// The values of a key of a condition.
    fn values(&self, key: &str, existing: &tags::Tags) -> Vec<String> {
        let lower = key.to_ascii_lowercase();
        let named = |prefix: &str| lower.starts_with(prefix).then(|| &key[prefix.len()..]);
        let tag = |tags: &tags::Tags, name: &str| {
            tags.iter().filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
        };
        let header =
            |name: &str| self.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let requested = || tags::of_header(header("x-amz-tagging").as_deref()).unwrap_or_default();
        if let Some(name) = named("s3:existingobjecttag/") {
            return tag(existing, name);
        }
        if let Some(name) = named("s3:requestobjecttag/") {
            return tag(&requested(), name);
        }
        let one = match &*lower {
            "s3:requestobjecttagkeys" => return requested().into_iter().map(|(key, _)| key).collect(),
            "s3:prefix" => self.parameter("prefix"),
            "s3:delimiter" => self.parameter("delimiter"),
            "s3:max-keys" => self.parameter("max-keys"),
            "s3:versionid" => self.parameter("versionId"),
            "aws:securetransport" => Some("false".to_owned()),
            "aws:useragent" => header("user-agent"),
            "aws:referer" => header("referer"),
            name => name.strip_prefix("s3:").filter(|name| name.starts_with("x-amz-")).and_then(header),
        };
        one.into_iter().collect()
    }

    /// A parameter of the query.
    fn parameter(&self, name: &str) -> Option<String> {
        let pairs = self.query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let value = pairs.into_iter().find(|(key, _)| *key == name)?.1.replace('+', " ");
        Some(percent_decode_str(&value).decode_utf8_lossy().into_owned())
    }

    /// Whether a list grants it to everyone.
    async fn is_granted(&self, api: &Api, bucket: &str) -> S3Result<bool> {
        let on_object = match self.operation {
            "GetObject" | "HeadObject" | "GetObjectAttributes" => Some(What::Read),
            "GetObjectAcl" => Some(What::ReadAcp),
            "PutObjectAcl" => Some(What::WriteAcp),
            _ => None,
        };
        let on_bucket = match self.operation {
            "ListObjects"
            | "ListObjectsV2"
            | "ListObjectVersions"
            | "ListMultipartUploads"
            | "HeadBucket" => What::Read,
            "PutObject"
            | "PostObject"
            | "DeleteObject"
            | "DeleteObjects"
            | "CreateMultipartUpload"
            | "UploadPart"
            | "CompleteMultipartUpload"
            | "AbortMultipartUpload"
            | "ListParts" => What::Write,
            "GetBucketAcl" => What::ReadAcp,
            "PutBucketAcl" => What::WriteAcp,
            _ if on_object.is_some() => What::Read,
            _ => return Ok(false),
        };
        let list = api.rules.text(&api.database, bucket, "acl").await?.unwrap_or_default();
        let by_bucket = Acl::of_kept(&list).grants(Who::Everyone, on_bucket);
        let (Some(what), Some(key)) = (on_object, self.key) else {
            if !by_bucket && api.is_missing(bucket).await? {
                return Err(s3_error!(NoSuchBucket, "The specified bucket does not exist"));
            }
            return Ok(by_bucket);
        };
        let version = self.parameter("versionId");
        let address = Address { bucket, key, version: version.as_deref() };
        let found = objects::find(&api.database, address, false).await.map_err(errors::database)?;
        match found {
            None => Err(s3_error!(NoSuchBucket, "The specified bucket does not exist")),
            Some(found) => match found.version {
                Some(version) => Ok(Acl::of_kept(&version.acl).grants(Who::Everyone, what)),
                // Who may list the bucket may know what is not in it.
                None => Ok(by_bucket && what == What::Read),
            },
        }
    }
}

fn denied() -> s3s::S3Error {
    s3_error!(AccessDenied, "Access Denied")
}
