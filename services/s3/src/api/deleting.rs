//! Deleting objects and versions.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        DeleteObjectInput, DeleteObjectOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, Error,
        ObjectIdentifier,
    },
    s3_error,
};
use time::OffsetDateTime;

use super::{Api, no_bucket, refused};
use crate::{
    conditions, errors,
    store::objects::{self, Address, DeleteCondition, Refusal},
};

/// Most keys of one request.
const LIMIT: usize = 1000;

impl Api {
    pub(super) async fn delete_object(
        &self,
        req: S3Request<DeleteObjectInput>,
    ) -> S3Result<S3Response<DeleteObjectOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let condition = DeleteCondition {
            if_match: conditions::text(it.if_match.as_ref()),
            modified: it.if_match_last_modified_time.map(OffsetDateTime::from),
            size: it.if_match_size,
        };
        let may_bypass = it.bypass_governance_retention.unwrap_or(false);
        let (changed, marker) = objects::delete(&self.database, address, may_bypass, condition)
            .await
            .map_err(errors::database)?
            .map_err(refused)?;
        self.blobs.remove(changed.stale);
        let output = DeleteObjectOutput {
            delete_marker: marker.then_some(true),
            version_id: changed.version,
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn delete_objects(
        &self,
        req: S3Request<DeleteObjectsInput>,
    ) -> S3Result<S3Response<DeleteObjectsOutput>> {
        let it = req.input;
        if it.delete.objects.is_empty() || it.delete.objects.len() > LIMIT {
            return Err(s3_error!(MalformedXML, "a request deletes 1 to {LIMIT} objects"));
        }
        let quiet = it.delete.quiet.unwrap_or(false);
        let may_bypass = it.bypass_governance_retention.unwrap_or(false);
        let (mut deleted, mut failed) = (Vec::new(), Vec::new());
        for object in it.delete.objects {
            match self.delete_one(&it.bucket, &object, may_bypass).await? {
                Ok(_) if quiet => {}
                Ok(done) => deleted.push(done),
                Err(refusal) => {
                    let error = refused(refusal);
                    failed.push(Error {
                        code: Some(error.code().as_str().to_owned()),
                        key: Some(object.key),
                        message: error.message().map(str::to_owned),
                        version_id: object.version_id,
                    });
                }
            }
        }
        let output = DeleteObjectsOutput {
            deleted: Some(deleted),
            errors: (!failed.is_empty()).then_some(failed),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    async fn delete_one(
        &self,
        bucket: &str,
        object: &ObjectIdentifier,
        may_bypass: bool,
    ) -> S3Result<Result<DeletedObject, Refusal>> {
        let address = Address { bucket, key: &object.key, version: object.version_id.as_deref() };
        let condition = DeleteCondition {
            if_match: object.e_tag.as_ref().map(s3s::dto::ETag::value),
            modified: object.last_modified_time.clone().map(OffsetDateTime::from),
            size: object.size,
        };
        let result = objects::delete(&self.database, address, may_bypass, condition)
            .await
            .map_err(errors::database)?;
        let (changed, marker) = match result {
            Ok(done) => done,
            Err(Refusal::NoBucket) => return Err(no_bucket()),
            Err(refusal) => return Ok(Err(refusal)),
        };
        self.blobs.remove(changed.stale);
        Ok(Ok(DeletedObject {
            delete_marker: marker.then_some(true),
            delete_marker_version_id: changed.version.filter(|_| marker),
            key: Some(object.key.clone()),
            version_id: object.version_id.clone(),
        }))
    }
}
