//! Sessions: a long-lived refresh token each, and the short-lived access tokens made with it. Only hashes are stored.

use protocol::Secret;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use service_kit::database::Database;

use super::{StoreError, tokens, users::User};

/// How long a session lasts.
pub(crate) const SESSION_LIFETIME: Duration = Duration::days(30);
/// How long an access token is good for.
pub(crate) const ACCESS_TOKEN_LIFETIME: Duration = Duration::hours(1);

/// A token and its end.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) expires_at: OffsetDateTime,
}

impl Token {
    fn generate(lifetime: Duration) -> Result<Self, StoreError> {
        Ok(Self { secret: tokens::generate()?, expires_at: OffsetDateTime::now_utc() + lifetime })
    }
}

/// What a sign-in gives.
#[derive(Debug)]
pub(crate) struct OpenedSession {
    pub(crate) refresh_token: Token,
    pub(crate) access_token: Token,
}

/// Opens a session for a user and records the sign-in, if `password_hash` is still the hash of the user's password; `None` if it is
/// another one by now, or the user has been deleted. The update locks the user's row: a new password that is being set at the same time
/// waits and then ends this session, or is waited for and seen.
pub(crate) async fn open(
    database: &Database,
    user_id: Uuid,
    password_hash: &str,
) -> Result<Option<OpenedSession>, StoreError> {
    let opened = OpenedSession {
        refresh_token: Token::generate(SESSION_LIFETIME)?,
        access_token: Token::generate(ACCESS_TOKEN_LIFETIME)?,
    };
    let opened_sessions = database
        .execute(
            r#"WITH "user" AS (
                   UPDATE "ProjectUser" SET "lastSignedInAt" = now() WHERE "id" = $2 AND "passwordHash" = $7
                   RETURNING "id"
               ), "session" AS (
                   INSERT INTO "Session" ("id", "userId", "refreshTokenHash", "expiresAt")
                   SELECT $1, "id", $3, $4 FROM "user" RETURNING "id"
               )
               INSERT INTO "AccessToken" ("sessionId", "tokenHash", "expiresAt") SELECT "id", $5, $6 FROM "session""#,
            &[
                &Uuid::new_v4(),
                &user_id,
                &tokens::hash(opened.refresh_token.secret.reveal()),
                &opened.refresh_token.expires_at,
                &tokens::hash(opened.access_token.secret.reveal()),
                &opened.access_token.expires_at,
                &password_hash,
            ],
        )
        .await?;
    Ok((opened_sessions > 0).then_some(opened))
}

/// Creates another access token for the session of a refresh token, which it does not outlive; `None` if there is no such session
/// (any more). The session's row is locked, so that one that is just being closed is waited for and found gone.
pub(crate) async fn refresh(
    database: &Database,
    project_id: &str,
    refresh_token: &str,
) -> Result<Option<Token>, StoreError> {
    let token = Token::generate(ACCESS_TOKEN_LIFETIME)?;
    let made = database
        .query_opt(
            r#"INSERT INTO "AccessToken" ("sessionId", "tokenHash", "expiresAt")
               SELECT "Session"."id", $3, least($4, "Session"."expiresAt")
               FROM "Session" JOIN "ProjectUser" ON "ProjectUser"."id" = "userId"
               WHERE "refreshTokenHash" = $2 AND "projectId" = $1 AND "Session"."expiresAt" > now()
               FOR KEY SHARE OF "Session"
               RETURNING "expiresAt""#,
            &[
                &project_id,
                &tokens::hash(refresh_token),
                &tokens::hash(token.secret.reveal()),
                &token.expires_at,
            ],
        )
        .await?;
    made.map(|row| Ok(Token { expires_at: row.try_get("expiresAt")?, ..token })).transpose()
}

/// Ends the session of a refresh token with its access tokens. Returns whether there was one.
pub(crate) async fn close(
    database: &Database,
    project_id: &str,
    refresh_token: &str,
) -> Result<bool, StoreError> {
    let closed = database
        .execute(
            r#"DELETE FROM "Session" USING "ProjectUser"
               WHERE "ProjectUser"."id" = "userId" AND "projectId" = $1 AND "refreshTokenHash" = $2"#,
            &[&project_id, &tokens::hash(refresh_token)],
        )
        .await?;
    Ok(closed > 0)
}

/// The user for whom an access token speaks.
pub(crate) async fn user_of_access_token(
    database: &Database,
    project_id: &str,
    access_token: &str,
) -> Result<Option<User>, StoreError> {
    let sql = User::select(
        r#""AccessToken" JOIN "Session" ON "Session"."id" = "sessionId"
           JOIN "ProjectUser" ON "ProjectUser"."id" = "userId""#,
        r#""tokenHash" = $2 AND "projectId" = $1 AND "AccessToken"."expiresAt" > now()"#,
    );
    let row = database.query_opt(&sql, &[&project_id, &tokens::hash(access_token)]).await?;
    row.as_ref().map(User::from_row).transpose()
}

/// The user whose session a refresh token is.
pub(crate) async fn user_of_refresh_token(
    database: &Database,
    project_id: &str,
    refresh_token: &str,
) -> Result<Option<User>, StoreError> {
    let sql = User::select(
        r#""Session" JOIN "ProjectUser" ON "ProjectUser"."id" = "userId""#,
        r#""refreshTokenHash" = $2 AND "projectId" = $1 AND "Session"."expiresAt" > now()"#,
    );
    let row = database.query_opt(&sql, &[&project_id, &tokens::hash(refresh_token)]).await?;
    row.as_ref().map(User::from_row).transpose()
}

/// Deletes what has expired: sessions with their access tokens, and access tokens alone. Returns how many rows of each. Rows that
/// are locked are skipped: two transactions that wait for each other's rows would be a deadlock.
pub(crate) async fn delete_expired(database: &Database) -> Result<(u64, u64), StoreError> {
    let sessions = database
        .execute(
            r#"DELETE FROM "Session" WHERE "id" IN (
                   SELECT "id" FROM "Session" WHERE "expiresAt" <= now() FOR UPDATE SKIP LOCKED
               )"#,
            &[],
        )
        .await?;
    let access_tokens = database
        .execute(
            r#"DELETE FROM "AccessToken" WHERE "tokenHash" IN (
                   SELECT "tokenHash" FROM "AccessToken" WHERE "expiresAt" <= now() FOR UPDATE SKIP LOCKED
               )"#,
            &[],
        )
        .await?;
    Ok((sessions, access_tokens))
}
