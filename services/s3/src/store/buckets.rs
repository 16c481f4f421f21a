//! Buckets, and the settings that they keep.

use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use tokio_postgres::error::SqlState;

/// Whether a bucket keeps versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versioning {
    Off,
    Enabled,
    Suspended,
}

impl Versioning {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Enabled => "enabled",
            Self::Suspended => "suspended",
        }
    }

    pub(crate) fn of_word(word: &str) -> Self {
        match word {
            "enabled" => Self::Enabled,
            "suspended" => Self::Suspended,
            _ => Self::Off,
        }
    }
}

/// A bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    pub(crate) id: i64,
    pub(crate) name: String,
    pub(crate) created: OffsetDateTime,
    pub(crate) versioning: Versioning,
    pub(crate) locks: bool,
}

const COLUMNS: &str = "id, name, created, versioning, locks";

impl Bucket {
    fn of(row: &tokio_postgres::Row) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            id: row.try_get(0)?,
            name: row.try_get(1)?,
            created: row.try_get(2)?,
            versioning: Versioning::of_word(row.try_get(3)?),
            locks: row.try_get(4)?,
        })
    }
}

/// Creates a bucket with its settings. Returns whether there was none of this name.
pub(crate) async fn create(
    database: &Database,
    name: &str,
    locks: bool,
    settings: &[(&str, String)],
) -> Result<bool, DatabaseError> {
    let versioning = if locks { Versioning::Enabled } else { Versioning::Off }.word();
    let (names, values): (Vec<&str>, Vec<&str>) =
        settings.iter().map(|(name, value)| (*name, value.as_str())).unzip();
    let created = database
        .query_opt(
            "WITH created AS (
                 INSERT INTO s3.bucket (name, versioning, locks) VALUES ($1, $2, $3)
                 ON CONFLICT (name) DO NOTHING RETURNING id
             ), kept AS (
                 INSERT INTO s3.bucket_setting (bucket, name, value)
                 SELECT id, setting, value FROM created, unnest($4::text[], $5::text[]) AS given (setting, value)
             )
             SELECT id FROM created",
            &[&name, &versioning, &locks, &names, &values],
        )
        .await?;
    Ok(created.is_some())
}

/// Returns a bucket.
pub(crate) async fn find(database: &Database, name: &str) -> Result<Option<Bucket>, DatabaseError> {
    let row =
        database.query_opt(&format!("SELECT {COLUMNS} FROM s3.bucket WHERE name = $1"), &[&name]).await?;
    Ok(row.as_ref().map(Bucket::of).transpose()?)
}

/// Returns at most `limit` buckets whose names begin with `prefix`, in the order of their names, from behind `after`.
pub(crate) async fn list(
    database: &Database,
    prefix: &str,
    after: &str,
    limit: i64,
) -> Result<Vec<Bucket>, DatabaseError> {
    let rows = database
        .query(
            &format!(
                r#"SELECT {COLUMNS} FROM s3.bucket WHERE starts_with(name, $1) AND name COLLATE "C" > $2
                   ORDER BY name COLLATE "C" LIMIT $3"#
            ),
            &[&prefix, &after, &limit],
        )
        .await?;
    Ok(rows.iter().map(Bucket::of).collect::<Result<_, _>>()?)
}

/// What became of a deletion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deletion {
    Done,
    NotThere,
    NotEmpty,
}

/// Deletes an empty bucket.
pub(crate) async fn delete(database: &Database, name: &str) -> Result<Deletion, DatabaseError> {
    // Uploads that were never completed are not content. Their files are swept at the next start.
    let deleted = database
        .query_opt(
            "WITH home AS (
                 SELECT id FROM s3.bucket b WHERE name = $1
                     AND NOT EXISTS (SELECT FROM s3.object WHERE bucket = b.id) FOR UPDATE
             ), uploads AS (
                 DELETE FROM s3.upload WHERE bucket IN (SELECT id FROM home)
             ), gone AS (
                 DELETE FROM s3.bucket WHERE id IN (SELECT id FROM home) RETURNING id
             )
             SELECT id FROM gone",
            &[&name],
        )
        .await;
    match deleted {
        Ok(Some(_)) => Ok(Deletion::Done),
        Ok(None) if find(database, name).await?.is_none() => Ok(Deletion::NotThere),
        Ok(None) => Ok(Deletion::NotEmpty),
        // Something was put at the same moment.
        Err(DatabaseError::Query(error)) if error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION) => {
            Ok(Deletion::NotEmpty)
        }
        Err(error) => Err(error),
    }
}

/// Changes whether a bucket keeps versions. Returns whether there is such a bucket.
pub(crate) async fn set_versioning(
    database: &Database,
    name: &str,
    versioning: Versioning,
) -> Result<bool, DatabaseError> {
    let changed = database
        .execute("UPDATE s3.bucket SET versioning = $2 WHERE name = $1", &[&name, &versioning.word()])
        .await?;
    Ok(changed > 0)
}

/// Allows a bucket to lock objects. Returns whether there is such a bucket.
pub(crate) async fn allow_locks(database: &Database, name: &str) -> Result<bool, DatabaseError> {
    Ok(database.execute("UPDATE s3.bucket SET locks = true WHERE name = $1", &[&name]).await? > 0)
}

/// Keeps a setting. Returns whether there is such a bucket.
pub(crate) async fn keep(
    database: &Database,
    bucket: &str,
    name: &str,
    value: &str,
) -> Result<bool, DatabaseError> {
    let kept = database
        .execute(
            "INSERT INTO s3.bucket_setting (bucket, name, value) SELECT id, $2, $3 FROM s3.bucket WHERE name = $1
             ON CONFLICT (bucket, name) DO UPDATE SET value = excluded.value",
            &[&bucket, &name, &value],
        )
        .await?;
    Ok(kept > 0)
}

/// Forgets a setting.
pub(crate) async fn forget(database: &Database, bucket: &str, name: &str) -> Result<(), DatabaseError> {
    database
        .execute(
            "DELETE FROM s3.bucket_setting USING s3.bucket b WHERE b.id = bucket AND b.name = $1
             AND bucket_setting.name = $2",
            &[&bucket, &name],
        )
        .await?;
    Ok(())
}
