//! The settings of all buckets, in memory: every request asks for some of them, and they seldom change. This process is the only one
//! that changes them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use s3s::S3Result;
use serde::{Serialize, de::DeserializeOwned};
use service_kit::database::{Database, DatabaseError};

use crate::errors;

/// The settings of one bucket, by their names.
pub(crate) type Settings = HashMap<String, String>;

/// The settings of all buckets, as soon as they have been read.
#[derive(Clone, Default)]
pub(crate) struct Rules(Arc<Mutex<Cache>>);

#[derive(Default)]
struct Cache {
    known: Option<Arc<HashMap<String, Settings>>>,
    /// How often they were forgotten: what was read before is not kept.
    changes: u64,
}

impl Rules {
    /// Forgets all, because something has changed.
    pub(crate) fn forget(&self) {
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cache.known = None;
        cache.changes += 1;
    }

    async fn all(&self, database: &Database) -> Result<Arc<HashMap<String, Settings>>, DatabaseError> {
        let changes = {
            let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(known) = &cache.known {
                return Ok(Arc::clone(known));
            }
            cache.changes
        };
        let rows = database
            .query(
                "SELECT b.name, s.name, s.value FROM s3.bucket_setting s JOIN s3.bucket b ON b.id = s.bucket",
                &[],
            )
            .await?;
        let mut all = HashMap::<String, Settings>::new();
        for row in rows {
            all.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, row.try_get(2)?);
        }
        let all = Arc::new(all);
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.changes == changes {
            cache.known = Some(Arc::clone(&all));
        }
        Ok(all)
    }

    /// Returns a setting as it was kept.
    pub(crate) async fn text(
        &self,
        database: &Database,
        bucket: &str,
        name: &str,
    ) -> S3Result<Option<String>> {
        let all = self.all(database).await.map_err(errors::database)?;
        Ok(all.get(bucket).and_then(|settings| settings.get(name)).cloned())
    }

    /// Returns a setting.
    pub(crate) async fn value<T: DeserializeOwned>(
        &self,
        database: &Database,
        bucket: &str,
        name: &str,
    ) -> S3Result<Option<T>> {
        let text = self.text(database, bucket, name).await?;
        Ok(text.map(|text| of_text(&text)))
    }
}

/// The value of a setting. It was written by [`to_text`].
pub(crate) fn of_text<T: DeserializeOwned>(text: &str) -> T {
    serde_json::from_str(text).expect("this program has written it")
}

/// A value as it is kept.
pub(crate) fn to_text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("a value without maps of other keys than text")
}
