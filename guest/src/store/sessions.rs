//! Sessions: a long-lived refresh token each, and the short-lived access tokens made with it. Only hashes are stored.

use protocol::Secret;
use time::{Duration, OffsetDateTime};
use uuid::Uuid;

use super::{StoreError, database::Database, tokens, users::User};

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

/// Opens a session for a user and notes the sign-in.
pub(crate) async fn open(database: &Database, user_id: Uuid) -> Result<OpenedSession, StoreError> {
    let opened = OpenedSession {
        refresh_token: Token::generate(SESSION_LIFETIME)?,
        access_token: Token::generate(ACCESS_TOKEN_LIFETIME)?,
    };
    database
        .execute(
            r#"WITH "session" AS (
                   INSERT INTO "Session" ("id", "userId", "refreshTokenHash", "expiresAt")
                   VALUES ($1, $2, $3, $4) RETURNING "id"
               ), "user" AS (
                   UPDATE "ProjectUser" SET "lastSignedInAt" = now() WHERE "id" = $2
               )
               INSERT INTO "AccessToken" ("sessionId", "tokenHash", "expiresAt") SELECT "id", $5, $6 FROM "session""#,
            &[
                &Uuid::new_v4(),
                &user_id,
                &tokens::hash(opened.refresh_token.secret.reveal()),
                &opened.refresh_token.expires_at,
                &tokens::hash(opened.access_token.secret.reveal()),
                &opened.access_token.expires_at,
            ],
        )
        .await?;
    Ok(opened)
}

/// Makes another access token for the session of a refresh token, which it does not outlive; `None` if there is no such session
/// (any more).
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

/// Ends the session of a refresh token with its access tokens. Answers whether there was one.
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

/// Deletes what has expired: sessions with their access tokens, and access tokens alone. Answers how many rows of each.
pub(crate) async fn delete_expired(database: &Database) -> Result<(u64, u64), StoreError> {
    let sessions = database.execute(r#"DELETE FROM "Session" WHERE "expiresAt" <= now()"#, &[]).await?;
    let access_tokens =
        database.execute(r#"DELETE FROM "AccessToken" WHERE "expiresAt" <= now()"#, &[]).await?;
    Ok((sessions, access_tokens))
}
