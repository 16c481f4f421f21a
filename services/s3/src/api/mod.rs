//! The operations of the protocol, by subject.

mod attributes;
mod buckets;
mod configuration;
mod copying;
mod deleting;
mod handle;
mod listing;
mod locks;
mod multipart;
mod putting;
mod reading;

use std::sync::{Arc, PoisonError, RwLock};

use s3s::{S3Error, S3Result, s3_error};
use service_kit::database::{Database, DatabaseError};

use crate::{
    blobs::Blobs,
    errors,
    settings::Settings,
    store::{
        buckets::{self as stored, Bucket},
        objects::{self, Address, Found, Refusal, Version},
        rules::Rules,
    },
};

pub(crate) use handle::Handle;

/// What all operations work with.
pub(crate) struct Api {
    settings: RwLock<Arc<Settings>>,
    pub(crate) database: Database,
    /// A connection of the health check's own, which is not dropped with the others: a host that has resumed the machine waits for that
    /// check, and a new process of PostgreSQL's takes longer to start than all the rest.
    pub(crate) probe: Database,
    pub(crate) blobs: Blobs,
    pub(crate) rules: Rules,
}

impl Api {
    /// The service with these settings. It opens no connection.
    pub(crate) fn new(settings: Settings, blobs: Blobs) -> Result<Self, DatabaseError> {
        let database = Database::new(&settings.database_url)?;
        let probe = Database::for_probe(&settings.database_url)?;
        Ok(Self {
            settings: RwLock::new(Arc::new(settings)),
            database,
            probe,
            blobs,
            rules: Rules::default(),
        })
    }

    /// The settings of this moment.
    pub(crate) fn settings(&self) -> Arc<Settings> {
        Arc::clone(&self.settings.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works with other settings from now on.
    pub(crate) fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// Finds a bucket.
    async fn bucket(&self, name: &str) -> S3Result<Bucket> {
        stored::find(&self.database, name).await.map_err(errors::database)?.ok_or_else(no_bucket)
    }

    /// Whether there is no such bucket.
    pub(crate) async fn is_missing(&self, name: &str) -> S3Result<bool> {
        Ok(stored::find(&self.database, name).await.map_err(errors::database)?.is_none())
    }

    /// Finds a version, or says what is missing.
    async fn find(&self, address: Address<'_>, with_content: bool) -> S3Result<Found> {
        let found = objects::find(&self.database, address, with_content).await.map_err(errors::database)?;
        found.ok_or_else(no_bucket)
    }

    /// Finds a version that is an object.
    async fn object(&self, address: Address<'_>) -> S3Result<Version> {
        self.find(address, false).await?.object(address)
    }
}

impl Found {
    /// The version that was asked for, unless it is missing or a delete marker.
    fn object(self, address: Address<'_>) -> S3Result<Version> {
        match self.version {
            Some(version) if !version.marker => Ok(version),
            Some(_) if address.version.is_some() => Err(s3_error!(
                MethodNotAllowed,
                "The specified method is not allowed against a delete marker."
            )),
            None if address.version.is_some() => Err(no_version()),
            _ => Err(no_key()),
        }
    }
}

fn no_bucket() -> S3Error {
    s3_error!(NoSuchBucket, "The specified bucket does not exist")
}

fn no_key() -> S3Error {
    s3_error!(NoSuchKey, "The specified key does not exist.")
}

fn no_version() -> S3Error {
    s3_error!(NoSuchVersion, "The specified version does not exist.")
}

fn no_upload() -> S3Error {
    s3_error!(NoSuchUpload, "The specified upload does not exist. It may have been aborted or completed.")
}

/// The error for a change that was refused.
fn refused(refusal: Refusal) -> S3Error {
    match refusal {
        Refusal::NoBucket => no_bucket(),
        Refusal::NoKey => no_key(),
        Refusal::NoUpload => no_upload(),
        Refusal::NoPart => s3_error!(InvalidPart, "a part was uploaded again meanwhile"),
        Refusal::Precondition => {
            s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold")
        }
        Refusal::Locked => s3_error!(AccessDenied, "Access Denied because object protected by object lock."),
    }
}
