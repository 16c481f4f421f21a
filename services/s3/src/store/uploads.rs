//! Uploads in parts.

use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    fresh_id,
    objects::{Changed, Condition, Head, Lock, Refusal, changed},
    rules::{of_text, to_text},
};
use crate::{
    checksums::{Kind, Sums},
    tags::Tags,
};

use serde::{Deserialize, Serialize};

/// What an upload will be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) head: Head,
    /// The kind of checksum that the client has named.
    pub(crate) kind: Option<Kind>,
    /// Whether the checksum is of those of the parts.
    pub(crate) composite: bool,
}

/// An upload under way.
#[derive(Debug, Clone)]
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) key: String,
    pub(crate) started: OffsetDateTime,
    pub(crate) plan: Plan,
}

/// A part that has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) number: i32,
    pub(crate) modified: OffsetDateTime,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) sums: Sums,
    pub(crate) file: Uuid,
}

/// Starts an upload, and returns its name. Nothing means that there is no such bucket.
pub(crate) async fn start(
    database: &Database,
    bucket: &str,
    key: &str,
    plan: &Plan,
    tags: &Tags,
    acl: &str,
    lock: &Lock,
) -> Result<Option<String>, DatabaseError> {
    let row = database
        .query_opt(
            "INSERT INTO s3.upload (id, bucket, key, head, tags, acl, lock_mode, lock_until, legal_hold)
             SELECT $2, id, $3, $4, $5, $6, $7, $8, $9 FROM s3.bucket WHERE name = $1 RETURNING upload.id",
            &[
                &bucket,
                &fresh_id(),
                &key.as_bytes(),
                &to_text(plan),
                &to_text(tags),
                &acl,
                &lock.mode,
                &lock.until,
                &lock.legal_hold,
            ],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Finds an upload of this key.
pub(crate) async fn find(
    database: &Database,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Option<Upload>, DatabaseError> {
    let row = database
        .query_opt(
            "SELECT u.id, u.key, u.started, u.head FROM s3.upload u JOIN s3.bucket b ON b.id = u.bucket
             WHERE b.name = $1 AND u.key = $2 AND u.id = $3",
            &[&bucket, &key.as_bytes(), &id],
        )
        .await?;
    Ok(row.as_ref().map(Upload::of).transpose()?)
}

impl Upload {
    fn of(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            key: super::listing::key_of(row.try_get(1)?),
            started: row.try_get(2)?,
            plan: of_text(row.try_get(3)?),
        })
    }
}

/// Returns at most `limit` uploads whose keys begin with `prefix`, ordered by key and name, from behind a key and a name.
pub(crate) async fn list(
    database: &Database,
    bucket: i64,
    range: &super::listing::Range<'_>,
    after: (&[u8], &str),
    limit: i64,
) -> Result<Vec<Upload>, DatabaseError> {
    let rows = database
        .query(
            r#"SELECT id, key, started, head FROM s3.upload
               WHERE bucket = $1 AND key >= $2 AND ($3::bytea IS NULL OR key < $3)
                   AND (key > $4 OR (key = $4 AND id COLLATE "C" > $5))
               ORDER BY key, id COLLATE "C" LIMIT $6"#,
            &[&bucket, &range.from, &range.to, &after.0, &after.1, &limit],
        )
        .await?;
    Ok(rows.iter().map(Upload::of).collect::<Result<_, _>>()?)
}

/// Puts a part. Returns the files that it replaces; nothing means that there is no such upload.
pub(crate) async fn put_part(
    database: &Database,
    upload: &str,
    number: i32,
    size: i64,
    etag: &str,
    sums: &Sums,
    file: Uuid,
) -> Result<Option<Vec<Uuid>>, DatabaseError> {
    let row = database
        .query_opt(
            "SELECT * FROM s3.put_part($1, $2, $3, $4, $5, $6)",
            &[&upload, &number, &size, &etag, &to_text(sums), &file],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Returns at most `limit` parts of an upload, in the order of their numbers, from behind a number.
pub(crate) async fn parts(
    database: &Database,
    upload: &str,
    after: i32,
    limit: i64,
) -> Result<Vec<Part>, DatabaseError> {
    let rows = database
        .query(
            "SELECT number, modified, size, etag, checksums, file FROM s3.part
             WHERE upload = $1 AND number > $2 ORDER BY number LIMIT $3",
            &[&upload, &after, &limit],
        )
        .await?;
    let part = |row: &tokio_postgres::Row| {
        Ok(Part {
            number: row.try_get(0)?,
            modified: row.try_get(1)?,
            size: row.try_get(2)?,
            etag: row.try_get(3)?,
            sums: of_text(row.try_get(4)?),
            file: row.try_get(5)?,
        })
    };
    rows.iter().map(part).collect()
}

/// Makes an object of an upload.
pub(crate) async fn complete(
    database: &Database,
    upload: &str,
    etag: &str,
    parts: &[Part],
    head: &Head,
    condition: Condition<'_>,
) -> Result<Result<Changed, Refusal>, DatabaseError> {
    let files: Vec<_> = parts.iter().map(|part| part.file).collect();
    let sizes: Vec<_> = parts.iter().map(|part| part.size).collect();
    let size: i64 = sizes.iter().sum();
    let row = database
        .query_one(
            "SELECT outcome, version, stale FROM s3.complete_upload($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                &upload,
                &fresh_id(),
                &size,
                &etag,
                &files,
                &sizes,
                &to_text(head),
                &condition.if_match,
                &condition.if_none_match,
            ],
        )
        .await?;
    Ok(changed(&row)?)
}

/// Ends an upload without an object. Returns its files; nothing means that there is no such upload.
pub(crate) async fn abort(
    database: &Database,
    bucket: &str,
    key: &str,
    id: &str,
) -> Result<Option<Vec<Uuid>>, DatabaseError> {
    // A part that is being put has locked the upload, so that it is among the parts that are seen here.
    let row = database
        .query_opt(
            "WITH open AS (
                 SELECT u.id FROM s3.upload u JOIN s3.bucket b ON b.id = u.bucket
                 WHERE b.name = $1 AND u.key = $2 AND u.id = $3 FOR UPDATE OF u
             ), gone AS (
                 DELETE FROM s3.upload WHERE id IN (SELECT id FROM open) RETURNING id
             )
             SELECT (SELECT coalesce(array_agg(file), '{}') FROM s3.part WHERE upload = gone.id) FROM gone",
            &[&bucket, &key.as_bytes(), &id],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}
