//! Sign-up, sign-in and sessions.

use axum::{Json, extract::State, http::StatusCode};
use protocol::Secret;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::super::{
    Backend,
    access::{Access, Client, RefreshToken},
    error::ApiError,
    extract,
};
use super::users::{checked_email, checked_password_hash, millis};
use crate::store::{
    authentication::{self, Refusal},
    sessions::{self, OpenedSession},
    users::{self, NewUser},
};

#[derive(Deserialize)]
pub(super) struct SignUp {
    email: String,
    password: String,
    display_name: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct SignIn {
    email: String,
    password: String,
}

/// A new session as its owner gets it. The tokens are shown here and never again.
#[derive(Serialize)]
pub(super) struct SessionBody {
    user_id: Uuid,
    access_token: String,
    access_token_expires_at_millis: i64,
    refresh_token: String,
    refresh_token_expires_at_millis: i64,
}

#[derive(Serialize)]
pub(super) struct AccessTokenBody {
    access_token: String,
    access_token_expires_at_millis: i64,
}

pub(super) async fn sign_up(
    State(backend): State<Backend>,
    access: Access<Client>,
    extract::Json(body): extract::Json<SignUp>,
) -> Result<(StatusCode, Json<SessionBody>), ApiError> {
    let primary_email = checked_email(&body.email)?;
    let password_hash = checked_password_hash(body.password).await?;
    let new = NewUser {
        primary_email,
        display_name: body.display_name,
        password_hash: Some(password_hash.clone()),
    };
    let user = users::create(&backend.store.database, &access.project_id, new)
        .await?
        .map_err(|_| ApiError::EmailTaken)?;
    let opened = opened(&backend, user.id, &password_hash).await?;
    Ok((StatusCode::CREATED, Json(SessionBody::of(user.id, &opened))))
}

pub(super) async fn sign_in(
    State(backend): State<Backend>,
    access: Access<Client>,
    extract::Json(body): extract::Json<SignIn>,
) -> Result<Json<SessionBody>, ApiError> {
    let password = Secret::new(body.password);
    let proven = authentication::with_password(&backend.store, &access.project_id, &body.email, password)
        .await?
        .map_err(|refusal| match refusal {
            Refusal::Mismatch => ApiError::EmailPasswordMismatch,
            Refusal::TooManyAttempts(too_many) => {
                ApiError::TooManyAttempts { retry_after_seconds: too_many.retry_after.as_secs() }
            }
        })?;
    let opened = opened(&backend, proven.user.id, &proven.password_hash).await?;
    Ok(Json(SessionBody::of(proven.user.id, &opened)))
}

/// Opens a session for a user whose password has this hash. Fails if the user was changed or deleted since.
async fn opened(backend: &Backend, user_id: Uuid, password_hash: &str) -> Result<OpenedSession, ApiError> {
    sessions::open(&backend.store.database, user_id, password_hash)
        .await?
        .ok_or(ApiError::EmailPasswordMismatch)
}

pub(super) async fn refresh(
    State(backend): State<Backend>,
    access: Access<Client>,
    RefreshToken(token): RefreshToken,
) -> Result<Json<AccessTokenBody>, ApiError> {
    let made = sessions::refresh(&backend.store.database, &access.project_id, &token)
        .await?
        .ok_or(ApiError::RefreshTokenInvalid)?;
    Ok(Json(AccessTokenBody {
        access_token: made.secret.reveal().to_owned(),
        access_token_expires_at_millis: millis(made.expires_at),
    }))
}

pub(super) async fn sign_out(
    State(backend): State<Backend>,
    access: Access<Client>,
    RefreshToken(token): RefreshToken,
) -> Result<StatusCode, ApiError> {
    if sessions::close(&backend.store.database, &access.project_id, &token).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::RefreshTokenInvalid)
    }
}

impl SessionBody {
    fn of(user_id: Uuid, opened: &OpenedSession) -> Self {
        Self {
            user_id,
            access_token: opened.access_token.secret.reveal().to_owned(),
            access_token_expires_at_millis: millis(opened.access_token.expires_at),
            refresh_token: opened.refresh_token.secret.reveal().to_owned(),
            refresh_token_expires_at_millis: millis(opened.refresh_token.expires_at),
        }
    }
}
