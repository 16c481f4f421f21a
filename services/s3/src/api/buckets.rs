//! Buckets as a whole.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        Bucket, BucketLocationConstraint, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
        DeleteBucketInput, DeleteBucketOutput, GetBucketLocationInput, GetBucketLocationOutput,
        GetBucketVersioningInput, GetBucketVersioningOutput, HeadBucketInput, HeadBucketOutput,
        ListBucketsInput, ListBucketsOutput, PutBucketVersioningInput, PutBucketVersioningOutput,
    },
    s3_error,
};

use super::{Api, no_bucket};
use crate::{
    acl::{Acl, Wish, grants_in, owner},
    errors,
    store::buckets::{self as stored, Deletion, Versioning},
};

/// Most buckets on a page.
const PAGE: i32 = 10_000;

impl Api {
    pub(super) async fn create_bucket(
        &self,
        req: S3Request<CreateBucketInput>,
    ) -> S3Result<S3Response<CreateBucketOutput>> {
        let it = req.input;
        let location = it.create_bucket_configuration.and_then(|it| it.location_constraint);
        if let Some(location) = location
            && !["", "EU"].contains(&location.as_str())
            && !location.as_str().chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        {
            return Err(s3_error!(
                InvalidLocationConstraint,
                "The specified location-constraint is not valid"
            ));
        }
        let wish = Wish {
            canned: it.acl.as_ref().map(s3s::dto::BucketCannedACL::as_str),
            headers: grants_in!(it, grant_write),
            document: None,
        };
        let mut settings = Vec::new();
        let acl = Acl::of_wish(wish)?.unwrap_or_default().kept();
        if !acl.is_empty() {
            settings.push(("acl", acl.clone()));
        }
        let ownership = req.headers.get("x-amz-object-ownership").and_then(|value| value.to_str().ok());
        if let Some(ownership) = ownership {
            settings.push(("ownership", format!("{ownership:?}")));
        }
        let locks = it.object_lock_enabled_for_bucket.unwrap_or(false);
        let created =
            stored::create(&self.database, &it.bucket, locks, &settings).await.map_err(errors::database)?;
        if created {
            self.rules.forget();
        } else {
            // In the region that most clients name, creating one's own bucket again succeeds; it stays as it is.
            let existing = self.bucket(&it.bucket).await?;
            let list = self.rules.text(&self.database, &it.bucket, "acl").await?.unwrap_or_default();
            if locks != existing.locks || acl != list {
                return Err(s3_error!(
                    BucketAlreadyExists,
                    "the bucket exists, and differs in its list or in object lock"
                ));
            }
        }
        Ok(S3Response::new(CreateBucketOutput { location: Some(format!("/{}", it.bucket)) }))
    }

    pub(super) async fn head_bucket(
        &self,
        req: S3Request<HeadBucketInput>,
    ) -> S3Result<S3Response<HeadBucketOutput>> {
        self.bucket(&req.input.bucket).await?;
        let bucket_region = Some(self.settings().region.clone());
        Ok(S3Response::new(HeadBucketOutput { bucket_region, ..Default::default() }))
    }

    pub(super) async fn delete_bucket(
        &self,
        req: S3Request<DeleteBucketInput>,
    ) -> S3Result<S3Response<DeleteBucketOutput>> {
        match stored::delete(&self.database, &req.input.bucket).await.map_err(errors::database)? {
            Deletion::Done => {}
            Deletion::NotThere => return Err(no_bucket()),
            Deletion::NotEmpty => {
                return Err(s3_error!(BucketNotEmpty, "The bucket you tried to delete is not empty"));
            }
        }
        self.rules.forget();
        Ok(S3Response::new(DeleteBucketOutput {}))
    }

    pub(super) async fn list_buckets(
        &self,
        req: S3Request<ListBucketsInput>,
    ) -> S3Result<S3Response<ListBucketsOutput>> {
        let it = req.input;
        if req.credentials.is_none() {
            return Ok(S3Response::new(ListBucketsOutput {
                buckets: Some(Vec::new()),
                ..Default::default()
            }));
        }
        let limit = it.max_buckets.unwrap_or(PAGE);
        if !(1..=PAGE).contains(&limit) {
            return Err(s3_error!(InvalidArgument, "max-buckets is between 1 and {PAGE}"));
        }
        let prefix = it.prefix.unwrap_or_default();
        let after = it.continuation_token.unwrap_or_default();
        let mut found = stored::list(&self.database, &prefix, &after, i64::from(limit) + 1)
            .await
            .map_err(errors::database)?;
        let more = found.len() > usize::try_from(limit).expect("it is positive");
        found.truncate(usize::try_from(limit).expect("it is positive"));
        let continuation_token = found.last().filter(|_| more).map(|last| last.name.clone());
        let region = self.settings().region.clone();
        let paged = it.max_buckets.is_some();
        let buckets = found.into_iter().map(|bucket| Bucket {
            bucket_region: paged.then(|| region.clone()),
            creation_date: Some(bucket.created.into()),
            name: Some(bucket.name),
        });
        let prefix = (!prefix.is_empty()).then_some(prefix);
        let buckets = Some(buckets.collect());
        Ok(S3Response::new(ListBucketsOutput { buckets, continuation_token, owner: Some(owner()), prefix }))
    }

    pub(super) async fn get_bucket_location(
        &self,
        req: S3Request<GetBucketLocationInput>,
    ) -> S3Result<S3Response<GetBucketLocationOutput>> {
        self.bucket(&req.input.bucket).await?;
        let region = self.settings().region.clone();
        // The oldest region has no name here.
        let location_constraint = (region != "us-east-1").then(|| BucketLocationConstraint::from(region));
        Ok(S3Response::new(GetBucketLocationOutput { location_constraint }))
    }

    pub(super) async fn get_bucket_versioning(
        &self,
        req: S3Request<GetBucketVersioningInput>,
    ) -> S3Result<S3Response<GetBucketVersioningOutput>> {
        let status = match self.bucket(&req.input.bucket).await?.versioning {
            Versioning::Off => None,
            Versioning::Enabled => Some(BucketVersioningStatus::ENABLED),
            Versioning::Suspended => Some(BucketVersioningStatus::SUSPENDED),
        };
        let status = status.map(BucketVersioningStatus::from_static);
        Ok(S3Response::new(GetBucketVersioningOutput { mfa_delete: None, status }))
    }

    pub(super) async fn put_bucket_versioning(
        &self,
        req: S3Request<PutBucketVersioningInput>,
    ) -> S3Result<S3Response<PutBucketVersioningOutput>> {
        let it = req.input;
        let bucket = self.bucket(&it.bucket).await?;
        let versioning = match it.versioning_configuration.status.as_ref().map(BucketVersioningStatus::as_str)
        {
            Some(BucketVersioningStatus::ENABLED) => Versioning::Enabled,
            Some(BucketVersioningStatus::SUSPENDED) if bucket.locks => {
                return Err(s3_error!(
                    InvalidBucketState,
                    "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed."
                ));
            }
            Some(BucketVersioningStatus::SUSPENDED) => Versioning::Suspended,
            _ => return Err(s3_error!(MalformedXML, "the status is `Enabled` or `Suspended`")),
        };
        stored::set_versioning(&self.database, &it.bucket, versioning).await.map_err(errors::database)?;
        Ok(S3Response::new(PutBucketVersioningOutput {}))
    }
}
