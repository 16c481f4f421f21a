//! Objects and their versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{
    fresh_id,
    rules::{of_text, to_text},
};
use crate::{checksums::Sums, tags::Tags};

/// What an object says about itself in the head of an answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Head {
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) metadata: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cache_control: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_disposition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_encoding: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) content_language: Option<String>,
    /// As the client has written it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) redirect: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) storage_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_key: Option<String>,
    #[serde(skip_serializing_if = "Sums::is_empty")]
    pub(crate) sums: Sums,
    /// Whether the checksums are of those of the parts.
    pub(crate) composite: bool,
    /// The parts that it was uploaded in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) parts: Vec<PartOf>,
}

/// A part of an object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PartOf {
    pub(crate) number: i32,
    pub(crate) size: i64,
    #[serde(default, skip_serializing_if = "Sums::is_empty")]
    pub(crate) sums: Sums,
}

/// Until when an object can be neither deleted nor replaced.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lock {
    pub(crate) mode: Option<String>,
    pub(crate) until: Option<OffsetDateTime>,
    pub(crate) legal_hold: bool,
}

/// A version of an object.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    pub(crate) id: String,
    pub(crate) marker: bool,
    pub(crate) modified: OffsetDateTime,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) content: Option<Vec<u8>>,
    pub(crate) files: Vec<Uuid>,
    pub(crate) sizes: Vec<i64>,
    pub(crate) head: Head,
    pub(crate) tags: Tags,
    pub(crate) acl: String,
    pub(crate) lock: Lock,
}

/// What was found in a bucket.
#[derive(Debug)]
pub(crate) struct Found {
    /// Whether the bucket has ever kept versions.
    pub(crate) versioned: bool,
    pub(crate) locks: bool,
    pub(crate) version: Option<Version>,
}

/// Which version is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Address<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    /// The latest one without it.
    pub(crate) version: Option<&'a str>,
}

/// Finds a version. Nothing means that there is no such bucket. The content is left out unless it is asked for.
pub(crate) async fn find(
    database: &Database,
    address: Address<'_>,
    with_content: bool,
) -> Result<Option<Found>, DatabaseError> {
    let content = if with_content { "o.content" } else { "NULL::bytea" };
    let columns = format!(
        "b.versioning <> 'off', b.locks, o.version, o.marker, o.modified, o.size, o.etag, {content}, o.files,
         o.sizes, o.head, o.tags, o.acl, o.lock_mode, o.lock_until, o.legal_hold"
    );
    let key = address.key.as_bytes();
    let row = match address.version {
        None => {
            let sql = format!(
                "SELECT {columns} FROM s3.bucket b
                 LEFT JOIN s3.object o ON o.bucket = b.id AND o.key = $2 AND o.latest WHERE b.name = $1"
            );
            database.query_opt(&sql, &[&address.bucket, &key]).await?
        }
        Some(version) => {
            let sql = format!(
                "SELECT {columns} FROM s3.bucket b
                 LEFT JOIN s3.object o ON o.bucket = b.id AND o.key = $2 AND o.version = $3 WHERE b.name = $1"
            );
            database.query_opt(&sql, &[&address.bucket, &key, &version]).await?
        }
    };
    Ok(row.map(Found::of).transpose()?)
}

impl Found {
    #[expect(clippy::needless_pass_by_value, reason = "the content is moved out of it")]
    fn of(row: Row) -> Result<Self, tokio_postgres::Error> {
        let (versioned, locks, id) = (row.try_get(0)?, row.try_get(1)?, row.try_get::<_, Option<String>>(2)?);
        let Some(id) = id else { return Ok(Self { versioned, locks, version: None }) };
        let version = Version {
            id,
            marker: row.try_get(3)?,
            modified: row.try_get(4)?,
            size: row.try_get(5)?,
            etag: row.try_get(6)?,
            content: row.try_get(7)?,
            files: row.try_get(8)?,
            sizes: row.try_get(9)?,
            head: of_text(row.try_get(10)?),
            tags: of_text(row.try_get(11)?),
            acl: row.try_get(12)?,
            lock: Lock { mode: row.try_get(13)?, until: row.try_get(14)?, legal_hold: row.try_get(15)? },
        };
        Ok(Self { versioned, locks, version: Some(version) })
    }
}

/// An object to be put.
#[derive(Debug)]
pub(crate) struct New<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) key: &'a str,
    pub(crate) size: i64,
    pub(crate) etag: &'a str,
    pub(crate) content: Option<&'a [u8]>,
    pub(crate) files: &'a [Uuid],
    pub(crate) sizes: &'a [i64],
    pub(crate) head: &'a Head,
    pub(crate) tags: &'a Tags,
    pub(crate) acl: &'a str,
    pub(crate) lock: &'a Lock,
    pub(crate) condition: Condition<'a>,
}

/// Under which condition something is changed: `*` or an entity tag.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Condition<'a> {
    pub(crate) if_match: Option<&'a str>,
    pub(crate) if_none_match: Option<&'a str>,
}

/// Why something was not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    NoBucket,
    NoKey,
    NoUpload,
    NoPart,
    Precondition,
    Locked,
}

impl Refusal {
    /// Reads the outcome of a function of the schema.
    pub(super) fn of(outcome: &str) -> Option<Self> {
        Some(match outcome {
            "no bucket" => Self::NoBucket,
            "no key" => Self::NoKey,
            "no upload" => Self::NoUpload,
            "no part" => Self::NoPart,
            "precondition" => Self::Precondition,
            "locked" => Self::Locked,
            _ => return None,
        })
    }
}

/// What a change has led to.
#[derive(Debug)]
pub(crate) struct Changed {
    /// The version, if it is one of its own.
    pub(crate) version: Option<String>,
    /// Files that no row names any more.
    pub(crate) stale: Vec<Uuid>,
}

/// Puts an object.
pub(crate) async fn put(
    database: &Database,
    new: New<'_>,
) -> Result<Result<Changed, Refusal>, DatabaseError> {
    let (head, tags) = (to_text(new.head), to_text(new.tags));
    let row = database
        .query_one(
            "SELECT outcome, version, stale
             FROM s3.put_object($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            &[
                &new.bucket,
                &new.key.as_bytes(),
                &fresh_id(),
                &new.size,
                &new.etag,
                &new.content,
                &new.files,
                &new.sizes,
                &head,
                &tags,
                &new.acl,
                &new.lock.mode,
                &new.lock.until,
                &new.lock.legal_hold,
                &new.condition.if_match,
                &new.condition.if_none_match,
            ],
        )
        .await?;
    Ok(changed(&row)?)
}

/// Reads the row of a function that changes something.
pub(super) fn changed(row: &Row) -> Result<Result<Changed, Refusal>, tokio_postgres::Error> {
    Ok(match Refusal::of(row.try_get(0)?) {
        Some(refusal) => Err(refusal),
        None => Ok(Changed { version: row.try_get(1)?, stale: row.try_get(2)? }),
    })
}

/// Under which condition something is deleted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DeleteCondition<'a> {
    pub(crate) if_match: Option<&'a str>,
    pub(crate) modified: Option<OffsetDateTime>,
    pub(crate) size: Option<i64>,
}

/// Deletes an object or a version. Returns whether it is or was a delete marker as well.
pub(crate) async fn delete(
    database: &Database,
    address: Address<'_>,
    may_bypass: bool,
    condition: DeleteCondition<'_>,
) -> Result<Result<(Changed, bool), Refusal>, DatabaseError> {
    let row = database
        .query_one(
            "SELECT outcome, version, stale, marker FROM s3.delete_object($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &address.bucket,
                &address.key.as_bytes(),
                &address.version,
                &fresh_id(),
                &may_bypass,
                &condition.if_match,
                &condition.modified,
                &condition.size,
            ],
        )
        .await?;
    let marker = row.try_get(3)?;
    Ok(changed(&row)?.map(|changed| (changed, marker)))
}

/// A column of a version that can be changed by itself.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Column<'a> {
    Tags(&'a Tags),
    Acl(&'a str),
    Retention(Option<&'a str>, Option<OffsetDateTime>),
    LegalHold(bool),
}

/// Changes a column of a version that exists.
pub(crate) async fn set(
    database: &Database,
    bucket: &str,
    key: &str,
    version: &str,
    column: Column<'_>,
) -> Result<(), DatabaseError> {
    let at = "FROM s3.bucket b WHERE b.id = bucket AND b.name = $1 AND key = $2 AND version = $3";
    let key = key.as_bytes();
    match column {
        Column::Tags(tags) => {
            let sql = format!("UPDATE s3.object SET tags = $4 {at}");
            database.execute(&sql, &[&bucket, &key, &version, &to_text(tags)]).await?
        }
        Column::Acl(acl) => {
            let sql = format!("UPDATE s3.object SET acl = $4 {at}");
            database.execute(&sql, &[&bucket, &key, &version, &acl]).await?
        }
        Column::Retention(mode, until) => {
            let sql = format!("UPDATE s3.object SET lock_mode = $4, lock_until = $5 {at}");
            database.execute(&sql, &[&bucket, &key, &version, &mode, &until]).await?
        }
        Column::LegalHold(hold) => {
            let sql = format!("UPDATE s3.object SET legal_hold = $4 {at}");
            database.execute(&sql, &[&bucket, &key, &version, &hold]).await?
        }
    };
    Ok(())
}
