//! Locks: how long a version can be neither deleted nor replaced.

use s3s::{
    S3Error, S3Request, S3Response, S3Result,
    dto::{
        DefaultRetention, GetObjectLegalHoldInput, GetObjectLegalHoldOutput, GetObjectLockConfigurationInput,
        GetObjectLockConfigurationOutput, GetObjectRetentionInput, GetObjectRetentionOutput,
        ObjectLockConfiguration, ObjectLockEnabled, ObjectLockLegalHold, ObjectLockLegalHoldStatus,
        ObjectLockMode, ObjectLockRetention, ObjectLockRetentionMode, PutObjectLegalHoldInput,
        PutObjectLegalHoldOutput, PutObjectLockConfigurationInput, PutObjectLockConfigurationOutput,
        PutObjectRetentionInput, PutObjectRetentionOutput, Timestamp,
    },
    s3_error,
};
use time::{Duration, OffsetDateTime};

use super::Api;
use crate::{
    errors,
    store::{
        buckets::{self as stored, Versioning},
        objects::{self, Address, Column, Lock, Version},
        rules::to_text,
    },
};

/// Where the configuration of a bucket is kept.
const SETTING: &str = "object-lock";

/// Collects what a request says about the lock of its object.
macro_rules! lock_in {
    ($api:expr, $it:expr) => {
        $api.lock_of(
            &$it.bucket,
            $it.object_lock_mode.as_ref(),
            $it.object_lock_retain_until_date.take(),
            $it.object_lock_legal_hold_status.as_ref(),
        )
        .await?
    };
}

pub(super) use lock_in;

impl Api {
    /// The lock of a new object: what the request says, or what its bucket does for all.
    pub(super) async fn lock_of(
        &self,
        bucket: &str,
        mode: Option<&ObjectLockMode>,
        until: Option<Timestamp>,
        hold: Option<&ObjectLockLegalHoldStatus>,
    ) -> S3Result<Lock> {
        let legal_hold = hold.is_some_and(|hold| hold.as_str() == ObjectLockLegalHoldStatus::ON);
        let wished = mode.is_some() || until.is_some() || hold.is_some();
        if wished && !self.bucket(bucket).await?.locks {
            return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
        }
        match (mode, until) {
            (Some(mode), Some(until)) => {
                let until = OffsetDateTime::from(until);
                check_until(until)?;
                Ok(Lock { mode: Some(known_mode(mode.as_str())?), until: Some(until), legal_hold })
            }
            (None, None) => {
                let rule = self.default_retention(bucket).await?;
                let mode =
                    rule.as_ref().and_then(|rule| rule.mode.as_ref()).map(|mode| mode.as_str().to_owned());
                let days = rule.map(|rule| rule.days.unwrap_or(0) + rule.years.unwrap_or(0) * 365);
                let until = days.map(|days| OffsetDateTime::now_utc() + Duration::days(days.into()));
                Ok(Lock { mode, until, legal_hold })
            }
            _ => Err(s3_error!(InvalidArgument, "a mode and a date are needed together")),
        }
    }

    async fn default_retention(&self, bucket: &str) -> S3Result<Option<DefaultRetention>> {
        let kept: Option<ObjectLockConfiguration> = self.rules.value(&self.database, bucket, SETTING).await?;
        Ok(kept.and_then(|it| it.rule).and_then(|rule| rule.default_retention))
    }

    pub(super) async fn put_object_lock_configuration(
        &self,
        req: S3Request<PutObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<PutObjectLockConfigurationOutput>> {
        let it = req.input;
        let bucket = self.bucket(&it.bucket).await?;
        let configuration = it.object_lock_configuration.unwrap_or_default();
        if configuration.object_lock_enabled.as_ref().map(ObjectLockEnabled::as_str)
            != Some(ObjectLockEnabled::ENABLED)
        {
            return Err(malformed());
        }
        if let Some(rule) = configuration.rule.as_ref().and_then(|rule| rule.default_retention.as_ref()) {
            known_mode(rule.mode.as_ref().map(ObjectLockRetentionMode::as_str).unwrap_or_default())?;
            match (rule.days, rule.years) {
                (Some(number), None) | (None, Some(number)) if number > 0 => {}
                (Some(_), None) | (None, Some(_)) => {
                    return Err(invalid_period());
                }
                _ => return Err(malformed()),
            }
        }
        if bucket.versioning != Versioning::Enabled {
            return Err(s3_error!(
                InvalidBucketState,
                "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration"
            ));
        }
        stored::allow_locks(&self.database, &it.bucket).await.map_err(errors::database)?;
        self.keep(&it.bucket, SETTING, &to_text(&configuration)).await?;
        Ok(S3Response::new(PutObjectLockConfigurationOutput::default()))
    }

    pub(super) async fn get_object_lock_configuration(
        &self,
        req: S3Request<GetObjectLockConfigurationInput>,
    ) -> S3Result<S3Response<GetObjectLockConfigurationOutput>> {
        let bucket = self.bucket(&req.input.bucket).await?;
        if !bucket.locks {
            return Err(s3_error!(
                ObjectLockConfigurationNotFoundError,
                "Object Lock configuration does not exist for this bucket"
            ));
        }
        let kept = self.rules.value(&self.database, &req.input.bucket, SETTING).await?;
        let enabled = ObjectLockEnabled::from_static(ObjectLockEnabled::ENABLED);
        let configuration =
            kept.unwrap_or(ObjectLockConfiguration { object_lock_enabled: Some(enabled), rule: None });
        let object_lock_configuration = Some(configuration);
        Ok(S3Response::new(GetObjectLockConfigurationOutput { object_lock_configuration }))
    }

    /// Finds a version in a bucket that has locks.
    async fn lockable(&self, address: Address<'_>) -> S3Result<Version> {
        let found = self.find(address, false).await?;
        if !found.locks {
            return Err(s3_error!(InvalidRequest, "Bucket is missing Object Lock Configuration"));
        }
        found.object(address)
    }

    pub(super) async fn put_object_retention(
        &self,
        req: S3Request<PutObjectRetentionInput>,
    ) -> S3Result<S3Response<PutObjectRetentionOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let version = self.lockable(address).await?;
        let retention = it.retention.unwrap_or_default();
        let mode = retention.mode.as_ref().map(|mode| known_mode(mode.as_str())).transpose()?;
        let until = retention.retain_until_date.map(OffsetDateTime::from);
        if mode.is_some() != until.is_some() {
            return Err(malformed());
        }
        until.map_or(Ok(()), check_until)?;
        let now = OffsetDateTime::now_utc();
        if version.lock.until.is_some_and(|until| until > now) {
            let is_weaker = until < version.lock.until || mode != version.lock.mode;
            let may_bypass = version.lock.mode.as_deref() == Some(ObjectLockRetentionMode::GOVERNANCE)
                && it.bypass_governance_retention.unwrap_or(false);
            if is_weaker && !may_bypass {
                return Err(s3_error!(
                    AccessDenied,
                    "Access Denied because object protected by object lock."
                ));
            }
        }
        let column = Column::Retention(mode.as_deref(), until);
        objects::set(&self.database, &it.bucket, &it.key, &version.id, column)
            .await
            .map_err(errors::database)?;
        Ok(S3Response::new(PutObjectRetentionOutput::default()))
    }

    pub(super) async fn get_object_retention(
        &self,
        req: S3Request<GetObjectRetentionInput>,
    ) -> S3Result<S3Response<GetObjectRetentionOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let lock = self.lockable(address).await?.lock;
        let (Some(mode), Some(until)) = (lock.mode, lock.until) else { return Err(no_lock()) };
        let retention = ObjectLockRetention {
            mode: Some(ObjectLockRetentionMode::from(mode)),
            retain_until_date: Some(until.into()),
        };
        Ok(S3Response::new(GetObjectRetentionOutput { retention: Some(retention) }))
    }

    pub(super) async fn put_object_legal_hold(
        &self,
        req: S3Request<PutObjectLegalHoldInput>,
    ) -> S3Result<S3Response<PutObjectLegalHoldOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let version = self.lockable(address).await?;
        let status = it.legal_hold.and_then(|hold| hold.status);
        let hold = match status.as_ref().map(ObjectLockLegalHoldStatus::as_str) {
            Some(ObjectLockLegalHoldStatus::ON) => true,
            Some(ObjectLockLegalHoldStatus::OFF) => false,
            _ => return Err(malformed()),
        };
        objects::set(&self.database, &it.bucket, &it.key, &version.id, Column::LegalHold(hold))
            .await
            .map_err(errors::database)?;
        Ok(S3Response::new(PutObjectLegalHoldOutput::default()))
    }

    pub(super) async fn get_object_legal_hold(
        &self,
        req: S3Request<GetObjectLegalHoldInput>,
    ) -> S3Result<S3Response<GetObjectLegalHoldOutput>> {
        let it = req.input;
        let address = Address { bucket: &it.bucket, key: &it.key, version: it.version_id.as_deref() };
        let lock = self.lockable(address).await?.lock;
        let hold = ObjectLockLegalHold { status: Some(hold_status(lock.legal_hold)) };
        Ok(S3Response::new(GetObjectLegalHoldOutput { legal_hold: Some(hold) }))
    }
}

/// A hold as answers have it.
pub(super) fn hold_status(on: bool) -> ObjectLockLegalHoldStatus {
    let status = if on { ObjectLockLegalHoldStatus::ON } else { ObjectLockLegalHoldStatus::OFF };
    ObjectLockLegalHoldStatus::from_static(status)
}

fn known_mode(mode: &str) -> S3Result<String> {
    match mode {
        ObjectLockRetentionMode::GOVERNANCE | ObjectLockRetentionMode::COMPLIANCE => Ok(mode.to_owned()),
        _ => Err(malformed()),
    }
}

fn check_until(until: OffsetDateTime) -> S3Result<()> {
    if until > OffsetDateTime::now_utc() {
        Ok(())
    } else {
        Err(s3_error!(InvalidArgument, "The retain until date must be in the future!"))
    }
}

fn invalid_period() -> S3Error {
    errors::custom(
        "InvalidRetentionPeriod",
        axum::http::StatusCode::BAD_REQUEST,
        "Default retention period must be a positive integer value.",
    )
}

fn no_lock() -> S3Error {
    s3_error!(NoSuchObjectLockConfiguration, "The specified object does not have a ObjectLock configuration")
}

fn malformed() -> S3Error {
    s3_error!(
        MalformedXML,
        "The XML you provided was not well-formed or did not validate against our published schema"
    )
}
