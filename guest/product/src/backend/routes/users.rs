//! Users: the one who is signed in, and all of them for the team's server.

use axum::{Json, extract::State, http::StatusCode};
use protocol::Secret;
use serde::{Deserialize, Deserializer, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::super::{
    Backend,
    access::{Access, Server, SignedIn},
    error::ApiError,
    extract::{self, Path, Query},
};
use crate::store::{
    passwords, text,
    users::{self, Change, Changes, NewUser, User},
};

/// Users on a page unless the caller says otherwise, and at most.
const DEFAULT_LIMIT: i64 = 50;
const MAX_LIMIT: i64 = 200;

/// A user as the API shows one.
#[derive(Serialize)]
pub(super) struct UserBody {
    id: Uuid,
    primary_email: String,
    display_name: Option<String>,
    has_password: bool,
    signed_up_at_millis: i64,
    last_signed_in_at_millis: Option<i64>,
}

impl From<User> for UserBody {
    fn from(user: User) -> Self {
        Self {
            id: user.id,
            primary_email: user.primary_email,
            display_name: user.display_name,
            has_password: user.has_password,
            signed_up_at_millis: millis(user.created_at),
            last_signed_in_at_millis: user.last_signed_in_at.map(millis),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct PageOptions {
    limit: Option<i64>,
    cursor: Option<String>,
    query: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Page {
    items: Vec<UserBody>,
    pagination: Pagination,
}

/// `next_cursor` is null on the last page.
#[derive(Serialize)]
struct Pagination {
    next_cursor: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Creation {
    primary_email: String,
    display_name: Option<String>,
    password: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Update {
    primary_email: Option<String>,
    /// Absent: stays. `null`: removed.
    #[serde(default, deserialize_with = "present")]
    display_name: Change,
    password: Option<String>,
}

pub(super) async fn me(SignedIn(user): SignedIn) -> Json<UserBody> {
    Json(user.into())
}

pub(super) async fn list(
    State(backend): State<Backend>,
    access: Access<Server>,
    Query(options): Query<PageOptions>,
) -> Result<Json<Page>, ApiError> {
    let limit = options.limit.unwrap_or(DEFAULT_LIMIT);
    if !(1..=MAX_LIMIT).contains(&limit) {
        return Err(ApiError::LimitOutOfRange { max: MAX_LIMIT });
    }
    let after = options
        .cursor
        .map(|cursor| cursor.parse())
        .transpose()
        .map_err(|_: std::num::ParseIntError| ApiError::CursorInvalid)?;
    // One more than is shown: it means that there is another page.
    let mut found =
        users::page(&backend.store.database, &access.project_id, after, limit + 1, options.query.as_deref())
            .await?;
    let shown = usize::try_from(limit).map_err(|_| ApiError::LimitOutOfRange { max: MAX_LIMIT })?;
    let more = found.len() > shown;
    found.truncate(shown);
    let next_cursor = if more { found.last().map(|user| user.ordinal.to_string()) } else { None };
    Ok(Json(Page {
        items: found.into_iter().map(UserBody::from).collect(),
        pagination: Pagination { next_cursor },
    }))
}

pub(super) async fn create(
    State(backend): State<Backend>,
    access: Access<Server>,
    extract::Json(body): extract::Json<Creation>,
) -> Result<(StatusCode, Json<UserBody>), ApiError> {
    let primary_email = checked_email(&body.primary_email)?;
    let password_hash = match body.password {
        Some(password) => Some(checked_password_hash(password).await?),
        None => None,
    };
    let new = NewUser { primary_email, display_name: body.display_name, password_hash };
    let user = users::create(&backend.store.database, &access.project_id, new)
        .await?
        .map_err(|_| ApiError::EmailTaken)?;
    Ok((StatusCode::CREATED, Json(user.into())))
}

pub(super) async fn read(
    State(backend): State<Backend>,
    access: Access<Server>,
    Path(user_id): Path<Uuid>,
) -> Result<Json<UserBody>, ApiError> {
    users::find(&backend.store.database, &access.project_id, user_id)
        .await?
        .map(|user| Json(user.into()))
        .ok_or(ApiError::UserNotFound)
}

pub(super) async fn update(
    State(backend): State<Backend>,
    access: Access<Server>,
    Path(user_id): Path<Uuid>,
    extract::Json(body): extract::Json<Update>,
) -> Result<Json<UserBody>, ApiError> {
    let changes = Changes {
        primary_email: body.primary_email.as_deref().map(checked_email).transpose()?,
        display_name: body.display_name,
        password_hash: match body.password {
            Some(password) => Some(checked_password_hash(password).await?),
            None => None,
        },
    };
    users::update(&backend.store.database, &access.project_id, user_id, changes)
        .await?
        .ok_or(ApiError::UserNotFound)?
        .map(|user| Json(user.into()))
        .map_err(|_| ApiError::EmailTaken)
}

pub(super) async fn delete(
    State(backend): State<Backend>,
    access: Access<Server>,
    Path(user_id): Path<Uuid>,
) -> Result<StatusCode, ApiError> {
    if users::delete(&backend.store.database, &access.project_id, user_id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::UserNotFound)
    }
}

/// The address in the form that is stored.
pub(super) fn checked_email(email: &str) -> Result<String, ApiError> {
    users::normalise_email(email)
        .ok_or_else(|| ApiError::EmailInvalid(email.chars().take(text::MAX_EMAIL_BYTES).collect()))
}

/// The hash of a password whose length will do.
pub(super) async fn checked_password_hash(password: String) -> Result<String, ApiError> {
    if !passwords::LENGTH.contains(&password.len()) {
        return Err(ApiError::PasswordLength { length: password.len() });
    }
    Ok(passwords::hash(Secret::new(password)).await?)
}

/// Milliseconds since 1970, as times are in this API.
pub(super) fn millis(time: OffsetDateTime) -> i64 {
    time.unix_timestamp() * 1000 + i64::from(time.millisecond())
}

/// A field that is there, `null` or not; one that is absent never gets here and is kept.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Change, D::Error> {
    Option::deserialize(deserializer).map(Change::To)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_null_name_is_distinguished_from_an_absent_one() {
        let name = |json| serde_json::from_str::<Update>(json).unwrap().display_name;
        assert_eq!(name("{}"), Change::Keep);
        assert_eq!(name(r#"{"display_name":null}"#), Change::To(None));
        assert_eq!(name(r#"{"display_name":"Ada"}"#), Change::To(Some("Ada".to_owned())));
    }

    #[test]
    fn times_are_milliseconds_since_1970() {
        assert_eq!(
            millis(OffsetDateTime::from_unix_timestamp_nanos(1_700_000_000_123_456_789).unwrap()),
            1_700_000_000_123
        );
    }

    #[tokio::test]
    async fn a_password_that_is_too_short_or_too_long_is_refused_before_any_work() {
        for length in [0, 7, 257] {
            let error = checked_password_hash("x".repeat(length)).await.unwrap_err();
            assert!(matches!(error, ApiError::PasswordLength { length: reported } if reported == length));
        }
    }
}
