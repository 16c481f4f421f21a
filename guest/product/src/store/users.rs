//! The users of a project.

use email_address::{EmailAddress, Options};
use time::OffsetDateTime;
use tokio_postgres::{Row, error::SqlState};
use uuid::Uuid;

use service_kit::database::{Database, DatabaseError};

use super::{StoreError, projects, text};

/// What every query of users selects, in the shape that [`User`] reads.
const COLUMNS: &str = r#""ProjectUser"."id", "ordinal", "primaryEmail", "displayName",
    "passwordHash" IS NOT NULL AS "hasPassword", "isDashboardAdmin", "ProjectUser"."createdAt", "lastSignedInAt""#;

/// A user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) id: Uuid,
    /// Position in the list of all users: the cursor of a page.
    pub(crate) ordinal: i64,
    pub(crate) primary_email: String,
    pub(crate) display_name: Option<String>,
    pub(crate) has_password: bool,
    pub(crate) is_dashboard_admin: bool,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) last_signed_in_at: Option<OffsetDateTime>,
}

impl User {
    /// Reads a row of [`COLUMNS`].
    pub(super) fn from_row(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.try_get("id")?,
            ordinal: row.try_get("ordinal")?,
            primary_email: row.try_get("primaryEmail")?,
            display_name: row.try_get("displayName")?,
            has_password: row.try_get("hasPassword")?,
            is_dashboard_admin: row.try_get("isDashboardAdmin")?,
            created_at: row.try_get("createdAt")?,
            last_signed_in_at: row.try_get("lastSignedInAt")?,
        })
    }

    /// `SELECT` of all that [`User::from_row`] needs, from `source` under `condition`.
    pub(super) fn select(source: &str, condition: &str) -> String {
        format!("SELECT {COLUMNS} FROM {source} WHERE {condition}")
    }
}

/// The data of a new user.
#[derive(Debug)]
pub(crate) struct NewUser {
    /// As [`normalise_email`] gives it.
    pub(crate) primary_email: String,
    pub(crate) display_name: Option<String>,
    pub(crate) password_hash: Option<String>,
}

/// What to do with a field that may be empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) enum Change {
    #[default]
    Keep,
    To(Option<String>),
}

/// What to change; `None` leaves a field as it is.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) primary_email: Option<String>,
    pub(crate) display_name: Change,
    pub(crate) password_hash: Option<String>,
}

/// The project has another user with this address.
#[derive(Debug)]
pub(crate) struct EmailTaken;

/// The form in which addresses are stored and looked up, or `None` if it is not an address: lower case throughout, so that a mailbox
/// has one account. A second spelling of the same mailbox is not an address here: a name in front of it, a quoted
/// local part, a number in the place of the domain.
pub(crate) fn normalise_email(text: &str) -> Option<String> {
    let email = text.trim().to_lowercase();
    let bare = Options::default().without_display_text().without_domain_literal();
    let valid = email.len() <= text::MAX_EMAIL_BYTES
        && !email.starts_with('"')
        && EmailAddress::parse_with_options(&email, bare).is_ok();
    valid.then_some(email)
}

/// Adds a user.
pub(crate) async fn create(
    database: &Database,
    project_id: &str,
    user: NewUser,
) -> Result<Result<User, EmailTaken>, StoreError> {
    check_name(user.display_name.as_deref())?;
    let result = database
        .query_one(
            &format!(
                r#"INSERT INTO "ProjectUser" ("id", "projectId", "primaryEmail", "displayName", "passwordHash")
                   VALUES ($1, $2, $3, $4, $5) RETURNING {COLUMNS}"#
            ),
            &[&Uuid::new_v4(), &project_id, &user.primary_email, &user.display_name, &user.password_hash],
        )
        .await;
    match unless_taken(result)? {
        Ok(row) => Ok(Ok(User::from_row(&row)?)),
        Err(taken) => Ok(Err(taken)),
    }
}

/// The user with this id, if it is one of this project's.
pub(crate) async fn find(
    database: &Database,
    project_id: &str,
    id: Uuid,
) -> Result<Option<User>, StoreError> {
    let sql = User::select(r#""ProjectUser""#, r#""projectId" = $1 AND "id" = $2"#);
    database.query_opt(&sql, &[&project_id, &id]).await?.as_ref().map(User::from_row).transpose()
}

/// The user with this address and the hash of their password, if they have one.
pub(crate) async fn with_password_hash(
    database: &Database,
    project_id: &str,
    email: &str,
) -> Result<Option<(User, Option<String>)>, StoreError> {
    let sql = format!(
        r#"SELECT {COLUMNS}, "passwordHash" FROM "ProjectUser" WHERE "projectId" = $1 AND "primaryEmail" = $2"#
    );
    let row = database.query_opt(&sql, &[&project_id, &email]).await?;
    row.map(|row| Ok((User::from_row(&row)?, row.try_get("passwordHash")?))).transpose()
}

/// Adds a user of the project `internal` who may use the dashboard, unless the address is there already.
pub(crate) async fn create_dashboard_admin(
    database: &Database,
    email: &str,
    display_name: &str,
    password_hash: &str,
) -> Result<(), StoreError> {
    database
        .execute(
            r#"INSERT INTO "ProjectUser"
                   ("id", "projectId", "primaryEmail", "displayName", "passwordHash", "isDashboardAdmin")
               VALUES ($1, $2, $3, $4, $5, true) ON CONFLICT DO NOTHING"#,
            &[&Uuid::new_v4(), &projects::INTERNAL, &email, &display_name, &password_hash],
        )
        .await?;
    Ok(())
}

/// A page of users, the newest first: at most `limit` of those that come after the cursor `after` and whose address or name
/// contains `search`.
pub(crate) async fn page(
    database: &Database,
    project_id: &str,
    after: Option<i64>,
    limit: i64,
    search: Option<&str>,
) -> Result<Vec<User>, StoreError> {
    if let Some(search) = search {
        text::at_most(search, "query", text::MAX_SEARCH_BYTES)?;
    }
    let condition = r#""projectId" = $1 AND "ordinal" < $2
        AND ($4::text IS NULL OR position(lower($4) IN "primaryEmail") > 0
             OR position(lower($4) IN lower("displayName")) > 0)
        ORDER BY "ordinal" DESC LIMIT $3"#;
    let sql = User::select(r#""ProjectUser""#, condition);
    let rows = database.query(&sql, &[&project_id, &after.unwrap_or(i64::MAX), &limit, &search]).await?;
    rows.iter().map(User::from_row).collect()
}

/// Changes a user. `None` if there is none. A new password ends every session: it excludes those who knew the old one. Sessions are ended
/// by a statement of their own, after the one that locks the user's row: that sees those as well that were opened while it waited.
pub(crate) async fn update(
    database: &Database,
    project_id: &str,
    id: Uuid,
    changes: Changes,
) -> Result<Option<Result<User, EmailTaken>>, StoreError> {
    let sql = format!(
        r#"UPDATE "ProjectUser" SET
               "primaryEmail" = coalesce($3, "primaryEmail"),
               "displayName" = CASE WHEN $4 THEN $5 ELSE "displayName" END,
               "passwordHash" = coalesce($6, "passwordHash")
           WHERE "projectId" = $1 AND "id" = $2 RETURNING {COLUMNS}"#
    );
    let (rename, name) = match changes.display_name {
        Change::Keep => (false, None),
        Change::To(name) => (true, name),
    };
    check_name(name.as_deref())?;
    let mut connection = database.connection().await?;
    let transaction = connection.transaction().await?;
    let statement = transaction.prepare_cached(&sql).await?;
    let result = transaction
        .query_opt(
            &statement,
            &[&project_id, &id, &changes.primary_email, &rename, &name, &changes.password_hash],
        )
        .await;
    let row = match unless_taken(result.map_err(DatabaseError::from))? {
        Ok(Some(row)) => row,
        Ok(None) => return Ok(None),
        Err(taken) => return Ok(Some(Err(taken))),
    };
    if changes.password_hash.is_some() {
        let statement = transaction.prepare_cached(r#"DELETE FROM "Session" WHERE "userId" = $1"#).await?;
        transaction.execute(&statement, &[&id]).await?;
    }
    transaction.commit().await?;
    Ok(Some(Ok(User::from_row(&row)?)))
}

/// Deletes a user with all sessions. Returns whether there was one.
pub(crate) async fn delete(database: &Database, project_id: &str, id: Uuid) -> Result<bool, StoreError> {
    let deleted = database
        .execute(r#"DELETE FROM "ProjectUser" WHERE "projectId" = $1 AND "id" = $2"#, &[&project_id, &id])
        .await?;
    Ok(deleted > 0)
}

fn check_name(name: Option<&str>) -> Result<(), StoreError> {
    name.map_or(Ok(()), |name| text::at_most(name, "display_name", text::MAX_NAME_BYTES))
}

/// Separates the one expected violation from all other errors.
fn unless_taken<T>(result: Result<T, DatabaseError>) -> Result<Result<T, EmailTaken>, StoreError> {
    match result {
        Err(DatabaseError::Query(error)) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) => {
            Ok(Err(EmailTaken))
        }
        result => Ok(Ok(result?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_without_case_and_surrounding_space() {
        assert_eq!(normalise_email(" Ada@Example.COM "), Some("ada@example.com".to_owned()));
    }

    #[test]
    fn what_is_not_an_address_is_refused() {
        for text in ["", "ada", "ada@", "@example.com", "ada@example.com, bob@example.com"] {
            assert_eq!(normalise_email(text), None, "`{text}`");
        }
    }

    #[test]
    fn a_second_spelling_of_a_mailbox_is_not_an_address() {
        for text in [
            "Ada <ada@example.com>",
            "<ada@example.com>",
            "\"ada\"@example.com",
            "ada@[127.0.0.1]",
            "ada@example.com.",
            "ada@example.com\0",
        ] {
            assert_eq!(normalise_email(text), None, "`{text}`");
        }
    }

    #[test]
    fn an_address_has_at_most_254_bytes() {
        let of_length = |length: usize| {
            let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(63)].join(".");
            let rest = "e".repeat(length - labels.len() - "ada@.".len());
            format!("ada@{labels}.{rest}")
        };
        assert!(normalise_email(&of_length(254)).is_some());
        assert_eq!(normalise_email(&of_length(255)), None);
        assert_eq!(normalise_email(&format!("Ada {} <ada@example.com>", "x".repeat(4096))), None);
    }
}
