//! Projects: what keys belong to and users are members of.

use time::OffsetDateTime;
use tokio_postgres::Row;

use service_kit::database::Database;

use super::{Parent, StoreError, keys::KeySet, text, tokens};

/// The project that is the stack itself: its users are those of the dashboard, and tools start with its keys.
pub(crate) const INTERNAL: &str = "internal";

/// How often a project may be deleted by others just after it was created or found.
const TRIES: usize = 3;

/// A project.
#[derive(Debug, Clone)]
pub(crate) struct Project {
    /// `internal`, or a UUID.
    pub(crate) id: String,
    pub(crate) display_name: String,
    /// The configuration file on the developer's machine for which it was created.
    pub(crate) config_file_path: Option<String>,
    pub(crate) created_at: OffsetDateTime,
}

impl Project {
    fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.try_get("id")?,
            display_name: row.try_get("displayName")?,
            config_file_path: row.try_get("configFilePath")?,
            created_at: row.try_get("createdAt")?,
        })
    }
}

/// The project with this id.
pub(crate) async fn find(database: &Database, id: &str) -> Result<Option<Project>, StoreError> {
    let row = database
        .query_opt(
            r#"SELECT "id", "displayName", "configFilePath", "createdAt" FROM "Project" WHERE "id" = $1"#,
            &[&id],
        )
        .await?;
    row.as_ref().map(Project::from_row).transpose()
}

/// Creates the project `internal` with these keys. If it exists, its keys stay: they may have been rotated since. Returns
/// whether it created anything.
pub(crate) async fn create_internal(database: &Database, keys: &KeySet) -> Result<bool, StoreError> {
    let created = database
        .execute(
            r#"WITH "project" AS (
                   INSERT INTO "Project" ("id", "displayName") VALUES ($1, $2) ON CONFLICT DO NOTHING
               )
               INSERT INTO "ApiKeySet" ("projectId", "publishableClientKey", "secretServerKey", "superSecretAdminKey")
               VALUES ($1, $3, $4, $5) ON CONFLICT DO NOTHING"#,
            &[
                &INTERNAL,
                &"Stack",
                &keys.publishable_client.reveal(),
                &keys.secret_server.reveal(),
                &keys.super_secret_admin.reveal(),
            ],
        )
        .await?;
    Ok(created > 0)
}

/// All projects with the number of their users, the oldest (which is `internal`) first.
pub(crate) async fn list(database: &Database) -> Result<Vec<(Project, i64)>, StoreError> {
    database
        .query(
            r#"SELECT "id", "displayName", "configFilePath", "createdAt",
                      (SELECT count(*) FROM "ProjectUser" WHERE "projectId" = "Project"."id") AS "users"
               FROM "Project" ORDER BY "createdAt", "id""#,
            &[],
        )
        .await?
        .iter()
        .map(|row| Ok((Project::from_row(row)?, row.try_get("users")?)))
        .collect()
}

/// The project of a configuration file and its keys: the same ones whenever the same path is asked for. Two requests for a
/// new path at once get the same project as well.
pub(crate) async fn for_config_file(
    database: &Database,
    path: &str,
    display_name: &str,
) -> Result<(String, KeySet), StoreError> {
    const FIND: &str = r#"
        SELECT "Project"."id", "publishableClientKey", "secretServerKey", "superSecretAdminKey"
        FROM "Project" JOIN "ApiKeySet" ON "ApiKeySet"."projectId" = "Project"."id" WHERE "configFilePath" = $1"#;
    // One statement, so that there is never a project without keys. A conflict waits for the other transaction and makes
    // both inserts do nothing.
    const CREATE: &str = r#"
        WITH "created" AS (
            INSERT INTO "Project" ("id", "displayName", "configFilePath") VALUES ($1, $2, $3)
            ON CONFLICT ("configFilePath") DO NOTHING RETURNING "id"
        )
        INSERT INTO "ApiKeySet" ("projectId", "publishableClientKey", "secretServerKey", "superSecretAdminKey")
        SELECT "id", $4, $5, $6 FROM "created""#;

    text::at_most(path, "absolute_file_path", text::MAX_PATH_BYTES)?;
    for _ in 0..TRIES {
        if let Some(row) = database.query_opt(FIND, &[&path]).await? {
            return Ok((row.try_get("id")?, KeySet::from_row(&row)?));
        }
        let keys = [tokens::generate()?, tokens::generate()?, tokens::generate()?];
        let id = uuid::Uuid::new_v4().to_string();
        let created = database
            .execute(
                CREATE,
                &[&id, &display_name, &path, &keys[0].reveal(), &keys[1].reveal(), &keys[2].reveal()],
            )
            .await?;
        if created > 0 {
            let [publishable_client, secret_server, super_secret_admin] = keys;
            return Ok((id, KeySet { publishable_client, secret_server, super_secret_admin }));
        }
    }
    Err(StoreError::Gone(Parent::Project))
}

/// Deletes a project with its keys, users and sessions. `internal` always stays. Returns whether there was one.
pub(crate) async fn delete(database: &Database, id: &str) -> Result<bool, StoreError> {
    let deleted = database
        .execute(r#"DELETE FROM "Project" WHERE "id" = $1 AND "id" <> $2"#, &[&id, &INTERNAL])
        .await?;
    Ok(deleted > 0)
}
