//! What is said about an object apart from its content: attributes, tags, lists.

use s3s::{
    S3Request, S3Response, S3Result,
    dto::{
        Checksum, DeleteObjectTaggingInput, DeleteObjectTaggingOutput, ETag, GetObjectAclInput,
        GetObjectAclOutput, GetObjectAttributesInput, GetObjectAttributesOutput, GetObjectAttributesParts,
        GetObjectTaggingInput, GetObjectTaggingOutput, ObjectAttributes, ObjectCannedACL, ObjectPart,
        PutObjectAclInput, PutObjectAclOutput, PutObjectTaggingInput, PutObjectTaggingOutput, StorageClass,
    },
    s3_error,
};

use super::Api;
use crate::{
    acl::{Acl, Wish, grants_in, owner},
    checksums::put_sums,
    errors,
    store::objects::{self, Address, Column, Version},
    tags,
};

/// Parts on a page.
const PAGE: i32 = 1000;

impl Api {
    pub(super) async fn get_object_attributes(
        &self,
        req: S3Request<GetObjectAttributesInput>,
    ) -> S3Result<S3Response<GetObjectAttributesOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let found = self.find(address, false).await?;
        let versioned = found.versioned;
        let version = found.object(address)?;
        if it.object_attributes.is_empty() {
            return Err(s3_error!(InvalidArgument, "x-amz-object-attributes names no attribute"));
        }
        // They come as one value with commas, or as several.
        let wishes: Vec<_> = it.object_attributes.iter().flat_map(|wish| wish.as_str().split(',')).collect();
        let wants = |name: &str| wishes.iter().any(|wish| wish.trim() == name);
        let mut checksum = Checksum::default();
        put_sums!(checksum, &version.head.sums);
        checksum.checksum_type = version.head.checksum_type();
        let limit = it.max_parts.unwrap_or(PAGE).clamp(0, PAGE);
        let parts = (wants(ObjectAttributes::OBJECT_PARTS) && !version.head.parts.is_empty())
            .then(|| parts(&version, it.part_number_marker.unwrap_or(0), limit));
        let class = version.head.storage_class.clone().unwrap_or_else(|| StorageClass::STANDARD.to_owned());
        let output = GetObjectAttributesOutput {
            checksum: wants(ObjectAttributes::CHECKSUM).then_some(checksum),
            e_tag: wants(ObjectAttributes::ETAG).then(|| ETag::Strong(version.etag.clone())),
            last_modified: Some(version.modified.into()),
            object_parts: parts,
            object_size: wants(ObjectAttributes::OBJECT_SIZE).then_some(version.size),
            storage_class: wants(ObjectAttributes::STORAGE_CLASS).then(|| StorageClass::from(class)),
            version_id: versioned.then_some(version.id),
            ..Default::default()
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn get_object_tagging(
        &self,
        req: S3Request<GetObjectTaggingInput>,
    ) -> S3Result<S3Response<GetObjectTaggingOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let found = self.find(address, false).await?;
        let versioned = found.versioned;
        let version = found.object(address)?;
        let version_id = versioned.then_some(version.id);
        Ok(S3Response::new(GetObjectTaggingOutput { tag_set: tags::set_of(version.tags), version_id }))
    }

    pub(super) async fn put_object_tagging(
        &self,
        req: S3Request<PutObjectTaggingInput>,
    ) -> S3Result<S3Response<PutObjectTaggingOutput>> {
        let it = req.input;
        let tags = tags::of_object(it.tagging.tag_set)?;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let version_id = self.change(address, Column::Tags(&tags)).await?;
        Ok(S3Response::new(PutObjectTaggingOutput { version_id }))
    }

    pub(super) async fn delete_object_tagging(
        &self,
        req: S3Request<DeleteObjectTaggingInput>,
    ) -> S3Result<S3Response<DeleteObjectTaggingOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let version_id = self.change(address, Column::Tags(&Vec::new())).await?;
        Ok(S3Response::new(DeleteObjectTaggingOutput { version_id }))
    }

    pub(super) async fn get_object_acl(
        &self,
        req: S3Request<GetObjectAclInput>,
    ) -> S3Result<S3Response<GetObjectAclOutput>> {
        let it = req.input;
        let version = self
            .object(Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() })
            .await?;
        let grants = Some(Acl::of_kept(&version.acl).document());
        Ok(S3Response::new(GetObjectAclOutput { grants, owner: Some(owner()), request_charged: None }))
    }

    pub(super) async fn put_object_acl(
        &self,
        req: S3Request<PutObjectAclInput>,
    ) -> S3Result<S3Response<PutObjectAclOutput>> {
        let it = req.input;
        let wish = Wish {
            canned: it.acl.as_ref().map(ObjectCannedACL::as_str),
            headers: grants_in!(it, grant_write),
            document: it.access_control_policy.clone(),
        };
        let acl = Acl::of_wish(wish)?.ok_or_else(|| s3_error!(MalformedXML, "the request has no list"))?;
        if acl.is_public() {
            self.check_public_acl(&it.bucket).await?;
        }
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        self.change(address, Column::Acl(&acl.kept())).await?;
        Ok(S3Response::new(PutObjectAclOutput::default()))
    }

    /// Changes a column of a version, and returns its id if the bucket keeps versions.
    async fn change(&self, address: Address<'_>, column: Column<'_>) -> S3Result<Option<String>> {
        let found = self.find(address, false).await?;
        let versioned = found.versioned;
        let version = found.object(address)?;
        objects::set(&self.database, address.bucket, address.key, &version.id, column)
            .await
            .map_err(errors::database)?;
        Ok(versioned.then_some(version.id))
    }
}

fn parts(version: &Version, after: i32, limit: i32) -> GetObjectAttributesParts {
    let all = &version.head.parts;
    let wanted = usize::try_from(limit).unwrap_or_default();
    let behind: Vec<_> = all.iter().filter(|part| part.number > after).collect();
    let page = &behind[..behind.len().min(wanted)];
    let listed = page.iter().map(|part| {
        let mut listed =
            ObjectPart { part_number: Some(part.number), size: Some(part.size), ..Default::default() };
        put_sums!(listed, &part.sums);
        listed
    });
    GetObjectAttributesParts {
        is_truncated: Some(behind.len() > page.len()),
        max_parts: Some(limit),
        next_part_number_marker: page.last().map(|part| part.number),
        part_number_marker: Some(after),
        // Only parts with checksums of their own are worth a list.
        parts: version.head.sums.keys().next().map(|_| listed.collect()),
        total_parts_count: i32::try_from(all.len()).ok(),
    }
}
