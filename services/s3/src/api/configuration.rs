//! The settings of a bucket. Policy, lists, rules for other origins, public access and locks have an effect; the rest is kept and given
//! back.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        BucketCannedACL, BucketLifecycleConfiguration, CORSConfiguration, DeleteBucketCorsInput,
        DeleteBucketCorsOutput, DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput,
        DeleteBucketLifecycleInput, DeleteBucketLifecycleOutput, DeleteBucketOwnershipControlsInput,
        DeleteBucketOwnershipControlsOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput,
        DeleteBucketTaggingInput, DeleteBucketTaggingOutput, DeleteBucketWebsiteInput,
        DeleteBucketWebsiteOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput,
        ExpirationStatus, GetBucketAccelerateConfigurationInput, GetBucketAccelerateConfigurationOutput,
        GetBucketAclInput, GetBucketAclOutput, GetBucketCorsInput, GetBucketCorsOutput,
        GetBucketEncryptionInput, GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput,
        GetBucketLifecycleConfigurationOutput, GetBucketLoggingInput, GetBucketLoggingOutput,
        GetBucketNotificationConfigurationInput, GetBucketNotificationConfigurationOutput,
        GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput, GetBucketPolicyInput,
        GetBucketPolicyOutput, GetBucketPolicyStatusInput, GetBucketPolicyStatusOutput,
        GetBucketReplicationInput, GetBucketReplicationOutput, GetBucketRequestPaymentInput,
        GetBucketRequestPaymentOutput, GetBucketTaggingInput, GetBucketTaggingOutput, GetBucketWebsiteInput,
        GetBucketWebsiteOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput, LifecycleRule,
        NotificationConfiguration, ObjectOwnership, OwnershipControls, OwnershipControlsRule, Payer,
        PolicyStatus, PublicAccessBlockConfiguration, PutBucketAclInput, PutBucketAclOutput,
        PutBucketCorsInput, PutBucketCorsOutput, PutBucketEncryptionInput, PutBucketEncryptionOutput,
        PutBucketLifecycleConfigurationInput, PutBucketLifecycleConfigurationOutput,
        PutBucketNotificationConfigurationInput, PutBucketNotificationConfigurationOutput,
        PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput, PutBucketPolicyInput,
        PutBucketPolicyOutput, PutBucketRequestPaymentInput, PutBucketRequestPaymentOutput,
        PutBucketTaggingInput, PutBucketTaggingOutput, PutBucketWebsiteInput, PutBucketWebsiteOutput,
        PutPublicAccessBlockInput, PutPublicAccessBlockOutput, RequestPaymentConfiguration,
        ServerSideEncryptionConfiguration, WebsiteConfiguration,
    },
    s3_error,
};
use serde::{Serialize, de::DeserializeOwned};

use super::{Api, no_bucket};
use crate::{
    acl::{Acl, Wish, grants_in, owner},
    errors,
    policy::Policy,
    store::{buckets as stored, rules::to_text},
    tags::{self, Tags},
};

const ACL: &str = "acl";
const CORS: &str = "cors";
const ENCRYPTION: &str = "encryption";
const LIFECYCLE: &str = "lifecycle";
const NOTIFICATION: &str = "notification";
const OWNERSHIP: &str = "ownership";
const PAYMENT: &str = "payment";
const POLICY: &str = "policy";
const PUBLIC: &str = "public-access-block";
const TAGS: &str = "tags";
const WEBSITE: &str = "website";

/// The largest policy, in bytes.
const POLICY_LIMIT: usize = 20 << 10;

/// Most rules of a configuration.
const RULES: usize = 1000;
const CORS_RULES: usize = 100;

/// Longest name of a rule.
const RULE_NAME: usize = 255;

impl Api {
    /// Keeps a setting of a bucket.
    pub(super) async fn keep(&self, bucket: &str, name: &str, value: &str) -> S3Result<()> {
        let kept = stored::keep(&self.database, bucket, name, value).await.map_err(errors::database)?;
        self.rules.forget();
        if kept { Ok(()) } else { Err(no_bucket()) }
    }

    /// Forgets a setting of a bucket.
    async fn forget(&self, bucket: &str, name: &str) -> S3Result<()> {
        self.bucket(bucket).await?;
        stored::forget(&self.database, bucket, name).await.map_err(errors::database)?;
        self.rules.forget();
        Ok(())
    }

    /// Returns a setting of a bucket that exists.
    async fn setting<T: DeserializeOwned>(&self, bucket: &str, name: &str) -> S3Result<Option<T>> {
        self.bucket(bucket).await?;
        self.rules.value(&self.database, bucket, name).await
    }

    async fn keep_value(&self, bucket: &str, name: &str, value: &impl Serialize) -> S3Result<()> {
        self.keep(bucket, name, &to_text(value)).await
    }

    async fn public_access_block(&self, bucket: &str) -> S3Result<PublicAccessBlockConfiguration> {
        Ok(self.rules.value(&self.database, bucket, PUBLIC).await?.unwrap_or_default())
    }

    /// Verifies that the bucket allows lists that grant something to everyone.
    pub(super) async fn check_public_acl(&self, bucket: &str) -> S3Result<()> {
        if self.public_access_block(bucket).await?.block_public_acls.unwrap_or(false) {
            return Err(s3_error!(AccessDenied, "public lists are blocked in this bucket"));
        }
        Ok(())
    }

    pub(super) async fn get_bucket_acl(
        &self,
        req: S3Request<GetBucketAclInput>,
    ) -> S3Result<S3Response<GetBucketAclOutput>> {
        self.bucket(&req.input.bucket).await?;
        let kept = self.rules.text(&self.database, &req.input.bucket, ACL).await?.unwrap_or_default();
        let grants = Some(Acl::of_kept(&kept).document());
        Ok(S3Response::new(GetBucketAclOutput { grants, owner: Some(owner()) }))
    }

    pub(super) async fn put_bucket_acl(
        &self,
        req: S3Request<PutBucketAclInput>,
    ) -> S3Result<S3Response<PutBucketAclOutput>> {
        let it = req.input;
        let wish = Wish {
            canned: it.acl.as_ref().map(BucketCannedACL::as_str),
            headers: grants_in!(it, grant_write),
            document: it.access_control_policy.clone(),
        };
        let acl = Acl::of_wish(wish)?.ok_or_else(|| s3_error!(MalformedXML, "the request has no list"))?;
        if acl.is_public() {
            self.check_public_acl(&it.bucket).await?;
        }
        self.keep(&it.bucket, ACL, &acl.kept()).await?;
        Ok(S3Response::new(PutBucketAclOutput::default()))
    }

    pub(super) async fn get_bucket_policy(
        &self,
        req: S3Request<GetBucketPolicyInput>,
    ) -> S3Result<S3Response<GetBucketPolicyOutput>> {
        self.bucket(&req.input.bucket).await?;
        let policy = self.rules.text(&self.database, &req.input.bucket, POLICY).await?;
        let policy =
            Some(policy.ok_or_else(|| s3_error!(NoSuchBucketPolicy, "The bucket policy does not exist"))?);
        Ok(S3Response::new(GetBucketPolicyOutput { policy }))
    }

    pub(super) async fn put_bucket_policy(
        &self,
        req: S3Request<PutBucketPolicyInput>,
    ) -> S3Result<S3Response<PutBucketPolicyOutput>> {
        let it = req.input;
        if it.policy.len() > POLICY_LIMIT {
            return Err(s3_error!(MalformedPolicy, "the policy has more than {POLICY_LIMIT} bytes"));
        }
        let policy = Policy::parse(&it.policy, &it.bucket)?;
        let block = self.public_access_block(&it.bucket).await?;
        if policy.is_public() && block.block_public_policy.unwrap_or(false) {
            return Err(s3_error!(AccessDenied, "public policies are blocked in this bucket"));
        }
        self.keep(&it.bucket, POLICY, &it.policy).await?;
        Ok(S3Response::new(PutBucketPolicyOutput::default()))
    }

    pub(super) async fn delete_bucket_policy(
        &self,
        req: S3Request<DeleteBucketPolicyInput>,
    ) -> S3Result<S3Response<DeleteBucketPolicyOutput>> {
        self.forget(&req.input.bucket, POLICY).await?;
        Ok(S3Response::new(DeleteBucketPolicyOutput {}))
    }

    pub(super) async fn get_bucket_policy_status(
        &self,
        req: S3Request<GetBucketPolicyStatusInput>,
    ) -> S3Result<S3Response<GetBucketPolicyStatusOutput>> {
        let bucket = &req.input.bucket;
        self.bucket(bucket).await?;
        let policy = self.rules.text(&self.database, bucket, POLICY).await?;
        let by_policy =
            policy.map(|text| Policy::parse(&text, bucket)).transpose()?.is_some_and(|it| it.is_public());
        let list = self.rules.text(&self.database, bucket, ACL).await?.unwrap_or_default();
        let block = self.public_access_block(bucket).await?;
        let by_list = Acl::of_kept(&list).is_public() && !block.ignore_public_acls.unwrap_or(false);
        let status = PolicyStatus { is_public: Some(by_policy || by_list) };
        Ok(S3Response::new(GetBucketPolicyStatusOutput { policy_status: Some(status) }))
    }

    pub(super) async fn get_bucket_cors(
        &self,
        req: S3Request<GetBucketCorsInput>,
    ) -> S3Result<S3Response<GetBucketCorsOutput>> {
        let kept: Option<CORSConfiguration> = self.setting(&req.input.bucket, CORS).await?;
        let kept =
            kept.ok_or_else(|| s3_error!(NoSuchCORSConfiguration, "The CORS configuration does not exist"))?;
        Ok(S3Response::new(GetBucketCorsOutput { cors_rules: Some(kept.cors_rules) }))
    }

    pub(super) async fn put_bucket_cors(
        &self,
        req: S3Request<PutBucketCorsInput>,
    ) -> S3Result<S3Response<PutBucketCorsOutput>> {
        let it = req.input;
        let rules = &it.cors_configuration.cors_rules;
        if rules.is_empty() || rules.len() > CORS_RULES {
            return Err(s3_error!(MalformedXML, "a configuration has 1 to {CORS_RULES} rules"));
        }
        let methods = rules.iter().flat_map(|rule| &rule.allowed_methods);
        for method in methods {
            if !["GET", "PUT", "POST", "DELETE", "HEAD"].contains(&method.as_str()) {
                return Err(s3_error!(
                    InvalidRequest,
                    "Found unsupported HTTP method in CORS config. Unsupported method is {method}"
                ));
            }
        }
        self.keep_value(&it.bucket, CORS, &it.cors_configuration).await?;
        Ok(S3Response::new(PutBucketCorsOutput::default()))
    }

    pub(super) async fn delete_bucket_cors(
        &self,
        req: S3Request<DeleteBucketCorsInput>,
    ) -> S3Result<S3Response<DeleteBucketCorsOutput>> {
        self.forget(&req.input.bucket, CORS).await?;
        Ok(S3Response::new(DeleteBucketCorsOutput {}))
    }

    pub(super) async fn get_bucket_tagging(
        &self,
        req: S3Request<GetBucketTaggingInput>,
    ) -> S3Result<S3Response<GetBucketTaggingOutput>> {
        let kept: Option<Tags> = self.setting(&req.input.bucket, TAGS).await?;
        let kept = kept.ok_or_else(|| s3_error!(NoSuchTagSet, "The TagSet does not exist"))?;
        Ok(S3Response::new(GetBucketTaggingOutput { tag_set: tags::set_of(kept) }))
    }

    pub(super) async fn put_bucket_tagging(
        &self,
        req: S3Request<PutBucketTaggingInput>,
    ) -> S3Result<S3Response<PutBucketTaggingOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, TAGS, &tags::of_bucket(it.tagging.tag_set)?).await?;
        let output = PutBucketTaggingOutput::default();
        Ok(S3Response::with_status(output, axum::http::StatusCode::NO_CONTENT))
    }

    pub(super) async fn delete_bucket_tagging(
        &self,
        req: S3Request<DeleteBucketTaggingInput>,
    ) -> S3Result<S3Response<DeleteBucketTaggingOutput>> {
        self.forget(&req.input.bucket, TAGS).await?;
        Ok(S3Response::new(DeleteBucketTaggingOutput {}))
    }

    pub(super) async fn get_public_access_block(
        &self,
        req: S3Request<GetPublicAccessBlockInput>,
    ) -> S3Result<S3Response<GetPublicAccessBlockOutput>> {
        let kept: Option<PublicAccessBlockConfiguration> = self.setting(&req.input.bucket, PUBLIC).await?;
        let kept = kept.ok_or_else(|| {
            missing(
                "NoSuchPublicAccessBlockConfiguration",
                "The public access block configuration was not found",
            )
        })?;
        Ok(S3Response::new(GetPublicAccessBlockOutput { public_access_block_configuration: Some(kept) }))
    }

    pub(super) async fn put_public_access_block(
        &self,
        req: S3Request<PutPublicAccessBlockInput>,
    ) -> S3Result<S3Response<PutPublicAccessBlockOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, PUBLIC, &it.public_access_block_configuration).await?;
        Ok(S3Response::new(PutPublicAccessBlockOutput::default()))
    }

    pub(super) async fn delete_public_access_block(
        &self,
        req: S3Request<DeletePublicAccessBlockInput>,
    ) -> S3Result<S3Response<DeletePublicAccessBlockOutput>> {
        self.forget(&req.input.bucket, PUBLIC).await?;
        Ok(S3Response::new(DeletePublicAccessBlockOutput {}))
    }

    pub(super) async fn get_bucket_lifecycle_configuration(
        &self,
        req: S3Request<GetBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketLifecycleConfigurationOutput>> {
        let kept: Option<BucketLifecycleConfiguration> = self.setting(&req.input.bucket, LIFECYCLE).await?;
        let kept = kept.ok_or_else(|| {
            s3_error!(NoSuchLifecycleConfiguration, "The lifecycle configuration does not exist")
        })?;
        let output = GetBucketLifecycleConfigurationOutput { rules: Some(kept.rules), ..Default::default() };
        Ok(S3Response::new(output))
    }

    pub(super) async fn put_bucket_lifecycle_configuration(
        &self,
        req: S3Request<PutBucketLifecycleConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketLifecycleConfigurationOutput>> {
        let it = req.input;
        let mut configuration = it.lifecycle_configuration.unwrap_or_default();
        check_lifecycle(&mut configuration.rules)?;
        self.keep_value(&it.bucket, LIFECYCLE, &configuration).await?;
        Ok(S3Response::new(PutBucketLifecycleConfigurationOutput::default()))
    }

    pub(super) async fn delete_bucket_lifecycle(
        &self,
        req: S3Request<DeleteBucketLifecycleInput>,
    ) -> S3Result<S3Response<DeleteBucketLifecycleOutput>> {
        self.forget(&req.input.bucket, LIFECYCLE).await?;
        Ok(S3Response::new(DeleteBucketLifecycleOutput {}))
    }

    pub(super) async fn get_bucket_encryption(
        &self,
        req: S3Request<GetBucketEncryptionInput>,
    ) -> S3Result<S3Response<GetBucketEncryptionOutput>> {
        let kept: Option<ServerSideEncryptionConfiguration> =
            self.setting(&req.input.bucket, ENCRYPTION).await?;
        let kept = kept.ok_or_else(|| {
            s3_error!(
                ServerSideEncryptionConfigurationNotFoundError,
                "The server side encryption configuration was not found"
            )
        })?;
        Ok(S3Response::new(GetBucketEncryptionOutput { server_side_encryption_configuration: Some(kept) }))
    }

    pub(super) async fn put_bucket_encryption(
        &self,
        req: S3Request<PutBucketEncryptionInput>,
    ) -> S3Result<S3Response<PutBucketEncryptionOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, ENCRYPTION, &it.server_side_encryption_configuration).await?;
        Ok(S3Response::new(PutBucketEncryptionOutput::default()))
    }

    pub(super) async fn delete_bucket_encryption(
        &self,
        req: S3Request<DeleteBucketEncryptionInput>,
    ) -> S3Result<S3Response<DeleteBucketEncryptionOutput>> {
        self.forget(&req.input.bucket, ENCRYPTION).await?;
        Ok(S3Response::new(DeleteBucketEncryptionOutput {}))
    }

    pub(super) async fn get_bucket_website(
        &self,
        req: S3Request<GetBucketWebsiteInput>,
    ) -> S3Result<S3Response<GetBucketWebsiteOutput>> {
        let kept: Option<WebsiteConfiguration> = self.setting(&req.input.bucket, WEBSITE).await?;
        let kept = kept.ok_or_else(|| {
            s3_error!(
                NoSuchWebsiteConfiguration,
                "The specified bucket does not have a website configuration"
            )
        })?;
        let output = GetBucketWebsiteOutput {
            error_document: kept.error_document,
            index_document: kept.index_document,
            redirect_all_requests_to: kept.redirect_all_requests_to,
            routing_rules: kept.routing_rules,
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn put_bucket_website(
        &self,
        req: S3Request<PutBucketWebsiteInput>,
    ) -> S3Result<S3Response<PutBucketWebsiteOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, WEBSITE, &it.website_configuration).await?;
        Ok(S3Response::new(PutBucketWebsiteOutput::default()))
    }

    pub(super) async fn delete_bucket_website(
        &self,
        req: S3Request<DeleteBucketWebsiteInput>,
    ) -> S3Result<S3Response<DeleteBucketWebsiteOutput>> {
        self.forget(&req.input.bucket, WEBSITE).await?;
        Ok(S3Response::new(DeleteBucketWebsiteOutput {}))
    }

    pub(super) async fn get_bucket_notification_configuration(
        &self,
        req: S3Request<GetBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketNotificationConfigurationOutput>> {
        let kept: Option<NotificationConfiguration> = self.setting(&req.input.bucket, NOTIFICATION).await?;
        let kept = kept.unwrap_or_default();
        let output = GetBucketNotificationConfigurationOutput {
            event_bridge_configuration: kept.event_bridge_configuration,
            lambda_function_configurations: kept.lambda_function_configurations,
            queue_configurations: kept.queue_configurations,
            topic_configurations: kept.topic_configurations,
        };
        Ok(S3Response::new(output))
    }

    pub(super) async fn put_bucket_notification_configuration(
        &self,
        req: S3Request<PutBucketNotificationConfigurationInput>,
    ) -> S3Result<S3Response<PutBucketNotificationConfigurationOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, NOTIFICATION, &it.notification_configuration).await?;
        Ok(S3Response::new(PutBucketNotificationConfigurationOutput {}))
    }

    pub(super) async fn get_bucket_ownership_controls(
        &self,
        req: S3Request<GetBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<GetBucketOwnershipControlsOutput>> {
        let kept: Option<String> = self.setting(&req.input.bucket, OWNERSHIP).await?;
        let kept = kept.ok_or_else(|| {
            s3_error!(OwnershipControlsNotFoundError, "The bucket ownership controls were not found")
        })?;
        let rule = OwnershipControlsRule { object_ownership: ObjectOwnership::from(kept) };
        let ownership_controls = Some(OwnershipControls { rules: vec![rule] });
        Ok(S3Response::new(GetBucketOwnershipControlsOutput { ownership_controls }))
    }

    pub(super) async fn put_bucket_ownership_controls(
        &self,
        req: S3Request<PutBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<PutBucketOwnershipControlsOutput>> {
        let it = req.input;
        let [rule] = it.ownership_controls.rules.as_slice() else {
            return Err(s3_error!(MalformedXML, "the controls have one rule"));
        };
        self.keep_value(&it.bucket, OWNERSHIP, &rule.object_ownership.as_str()).await?;
        Ok(S3Response::new(PutBucketOwnershipControlsOutput {}))
    }

    pub(super) async fn delete_bucket_ownership_controls(
        &self,
        req: S3Request<DeleteBucketOwnershipControlsInput>,
    ) -> S3Result<S3Response<DeleteBucketOwnershipControlsOutput>> {
        self.forget(&req.input.bucket, OWNERSHIP).await?;
        Ok(S3Response::new(DeleteBucketOwnershipControlsOutput {}))
    }

    pub(super) async fn get_bucket_request_payment(
        &self,
        req: S3Request<GetBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<GetBucketRequestPaymentOutput>> {
        let kept: Option<RequestPaymentConfiguration> = self.setting(&req.input.bucket, PAYMENT).await?;
        let payer = kept.map_or_else(|| Payer::from_static(Payer::BUCKET_OWNER), |kept| kept.payer);
        Ok(S3Response::new(GetBucketRequestPaymentOutput { payer: Some(payer) }))
    }

    pub(super) async fn put_bucket_request_payment(
        &self,
        req: S3Request<PutBucketRequestPaymentInput>,
    ) -> S3Result<S3Response<PutBucketRequestPaymentOutput>> {
        let it = req.input;
        self.keep_value(&it.bucket, PAYMENT, &it.request_payment_configuration).await?;
        Ok(S3Response::new(PutBucketRequestPaymentOutput::default()))
    }

    pub(super) async fn get_bucket_logging(
        &self,
        req: S3Request<GetBucketLoggingInput>,
    ) -> S3Result<S3Response<GetBucketLoggingOutput>> {
        // There is no log to be delivered, which this says.
        self.bucket(&req.input.bucket).await?;
        Ok(S3Response::new(GetBucketLoggingOutput::default()))
    }

    pub(super) async fn get_bucket_accelerate_configuration(
        &self,
        req: S3Request<GetBucketAccelerateConfigurationInput>,
    ) -> S3Result<S3Response<GetBucketAccelerateConfigurationOutput>> {
        self.bucket(&req.input.bucket).await?;
        Ok(S3Response::new(GetBucketAccelerateConfigurationOutput::default()))
    }

    pub(super) async fn get_bucket_replication(
        &self,
        req: S3Request<GetBucketReplicationInput>,
    ) -> S3Result<S3Response<GetBucketReplicationOutput>> {
        self.bucket(&req.input.bucket).await?;
        Err(s3_error!(ReplicationConfigurationNotFoundError, "The replication configuration was not found"))
    }
}

fn missing(code: &'static str, message: &'static str) -> S3Error {
    errors::custom(code, axum::http::StatusCode::NOT_FOUND, message)
}

/// Verifies the rules, and names those without a name.
fn check_lifecycle(rules: &mut [LifecycleRule]) -> S3Result<()> {
    if rules.is_empty() || rules.len() > RULES {
        return Err(s3_error!(MalformedXML, "a configuration has 1 to {RULES} rules"));
    }
    for index in 0..rules.len() {
        let rule = &rules[index];
        if ![ExpirationStatus::ENABLED, ExpirationStatus::DISABLED].contains(&rule.status.as_str()) {
            return Err(s3_error!(MalformedXML, "the status of a rule is `Enabled` or `Disabled`"));
        }
        if rule.expiration.as_ref().and_then(|it| it.days).is_some_and(|days| days <= 0) {
            return Err(s3_error!(
                InvalidArgument,
                "'Days' for Expiration action must be a positive integer"
            ));
        }
        if let Some(id) = &rule.id {
            if id.len() > RULE_NAME {
                return Err(s3_error!(
                    InvalidArgument,
                    "ID length should not exceed allowed limit of {RULE_NAME}"
                ));
            }
            if rules[..index].iter().any(|other| other.id.as_ref() == Some(id)) {
                return Err(s3_error!(
                    InvalidArgument,
                    "Rule ID must be unique. Found same ID for more than one rule"
                ));
            }
        } else {
            rules[index].id = Some(crate::store::fresh_id());
        }
    }
    Ok(())
}
