//! What is in the database: one statement, one answer. No rule of the protocol is here.

pub(crate) mod buckets;
pub(crate) mod listing;
pub(crate) mod objects;
pub(crate) mod rules;
pub(crate) mod uploads;

use service_kit::database::{Database, DatabaseError};
use uuid::Uuid;

/// A name that no version and no upload has.
pub(crate) fn fresh_id() -> String {
    Uuid::new_v4().simple().to_string()
}

/// All files that rows name.
pub(crate) async fn named_files(database: &Database) -> Result<Vec<Uuid>, DatabaseError> {
    let rows = database
        .query(
            "SELECT unnest(files) FROM s3.object WHERE files <> '{}' UNION ALL SELECT file FROM s3.part",
            &[],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
