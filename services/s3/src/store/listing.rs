//! Keys in their order, a page at a time.

use service_kit::database::{Database, DatabaseError};
use time::OffsetDateTime;
use tokio_postgres::Row;

use super::{objects::Head, rules::of_text};
use crate::checksums::Kind;

/// A version in a listing.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) revision: i64,
    pub(crate) version: String,
    pub(crate) latest: bool,
    pub(crate) marker: bool,
    pub(crate) modified: OffsetDateTime,
    pub(crate) size: i64,
    pub(crate) etag: String,
    pub(crate) storage_class: Option<String>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) composite: bool,
}

/// Keys from one on and below another.
#[derive(Debug, Clone)]
pub(crate) struct Range<'a> {
    pub(crate) from: &'a [u8],
    pub(crate) to: Option<Vec<u8>>,
}

impl<'a> Range<'a> {
    /// All keys that begin with `prefix`.
    pub(crate) fn of_prefix(prefix: &'a str) -> Self {
        Self { from: prefix.as_bytes(), to: behind(prefix.as_bytes()) }
    }
}

/// The first key behind all that begin with `prefix`, if there can be one.
pub(crate) fn behind(prefix: &[u8]) -> Option<Vec<u8>> {
    let end = prefix.iter().rposition(|byte| *byte < u8::MAX)?;
    let mut behind = prefix[..=end].to_vec();
    behind[end] += 1;
    Some(behind)
}

/// A key of the database: it came from a text.
pub(crate) fn key_of(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

impl Entry {
    fn of(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let head: Head = of_text(row.try_get(8)?);
        Ok(Self {
            key: key_of(row.try_get(0)?),
            revision: row.try_get(1)?,
            version: row.try_get(2)?,
            latest: row.try_get(3)?,
            marker: row.try_get(4)?,
            modified: row.try_get(5)?,
            size: row.try_get(6)?,
            etag: row.try_get(7)?,
            storage_class: head.storage_class,
            kinds: head.sums.into_keys().collect(),
            composite: head.composite,
        })
    }
}

const COLUMNS: &str = "key, revision, version, latest, marker, modified, size, etag, head";

/// Returns at most `limit` objects of a bucket in `range`, from the key `start` on.
pub(crate) async fn objects(
    database: &Database,
    bucket: i64,
    range: &Range<'_>,
    start: &[u8],
    limit: i64,
) -> Result<Vec<Entry>, DatabaseError> {
    let from = start.max(range.from);
    let rows = database
        .query(
            &format!(
                "SELECT {COLUMNS} FROM s3.object WHERE bucket = $1 AND key >= $2 AND ($3::bytea IS NULL OR key < $3)
                     AND latest AND NOT marker ORDER BY key LIMIT $4"
            ),
            &[&bucket, &from, &range.to, &limit],
        )
        .await?;
    Ok(rows.iter().map(Entry::of).collect::<Result<_, _>>()?)
}

/// Returns at most `limit` versions of a bucket in `range`, ordered by key and from the newest one, from behind a version of a key on.
pub(crate) async fn versions(
    database: &Database,
    bucket: i64,
    range: &Range<'_>,
    start: (&[u8], i64),
    limit: i64,
) -> Result<Vec<Entry>, DatabaseError> {
    let from = start.0.max(range.from);
    let rows = database
        .query(
            &format!(
                "SELECT {COLUMNS} FROM s3.object WHERE bucket = $1 AND key >= $2 AND ($3::bytea IS NULL OR key < $3)
                     AND (key > $4 OR (key = $4 AND revision < $5)) ORDER BY key, revision DESC LIMIT $6"
            ),
            &[&bucket, &from, &range.to, &start.0, &start.1, &limit],
        )
        .await?;
    Ok(rows.iter().map(Entry::of).collect::<Result<_, _>>()?)
}

/// The place of a version among those of its key.
pub(crate) async fn revision(
    database: &Database,
    bucket: i64,
    key: &str,
    version: &str,
) -> Result<Option<i64>, DatabaseError> {
    let row = database
        .query_opt(
            "SELECT revision FROM s3.object WHERE bucket = $1 AND key = $2 AND version = $3",
            &[&bucket, &key.as_bytes(), &version],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behind_a_prefix_is_the_next_key_without_it() {
        assert_eq!(behind(b"a/").unwrap(), b"a0");
        assert_eq!(behind(b"a\xff").unwrap(), b"b");
        assert_eq!(behind(b"\xff"), None);
        assert_eq!(behind(b""), None);
    }
}
