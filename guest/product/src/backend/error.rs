//! Every failure of the API, in one shape: `{"code": "USER_NOT_FOUND", "error": "…"}` with a status that fits.

use axum::{
    Json,
    extract::rejection::{JsonRejection, PathRejection, QueryRejection},
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use guest::report;
use serde::Serialize;
use thiserror::Error;
use tracing::error;

use crate::{
    request::Unanswered,
    store::{Parent, StoreError, keys::AccessType, passwords, text},
};

/// When to try again after a temporary failure.
pub(super) const RETRY_AFTER_SECONDS: u64 = 2;

/// The failures that are reported to callers. Codes are for programs and never change; texts are for people.
#[derive(Debug, Error)]
pub(crate) enum ApiError {
    #[error("the header `{0}` is missing")]
    HeaderMissing(&'static str),
    #[error("the header `x-stack-access-type` must be `client`, `server` or `admin`")]
    AccessTypeUnknown,
    #[error("the header `{}` is not the {} key of project `{project_id}`", .access_type.key_header(), .access_type.name())]
    KeyWrong { access_type: AccessType, project_id: String },
    #[error("this needs `{}` access or more, and the request has `{}`", .needed.name(), .given.name())]
    AccessInsufficient { needed: AccessType, given: AccessType },
    #[error("this is only for the project `internal`")]
    InternalProjectOnly,
    #[error("the project `internal` cannot be deleted")]
    InternalProjectUndeletable,
    #[error("the project has just been deleted")]
    ProjectDeleted,
    #[error("the header `x-stack-access-token` is not a valid access token, or it has expired")]
    AccessTokenInvalid,
    #[error("the header `x-stack-refresh-token` is not a valid refresh token, or its session has ended")]
    RefreshTokenInvalid,
    #[error("the bearer token is not the secret of the cron service")]
    CronSecretWrong,
    #[error("the e-mail address or the password is wrong")]
    EmailPasswordMismatch,
    #[error("too many attempts to sign in; try again in {retry_after_seconds} s")]
    TooManyAttempts { retry_after_seconds: u64 },
    #[error(
        "`{0}` is not an e-mail address like `ada@example.com`, of at most {max} bytes and without a name in front",
        max = text::MAX_EMAIL_BYTES
    )]
    EmailInvalid(String),
    #[error("the project has a user with this e-mail address")]
    EmailTaken,
    #[error(
        "a password has {} to {} bytes, and this one has {length}",
        passwords::LENGTH.start(),
        passwords::LENGTH.end()
    )]
    PasswordLength { length: usize },
    #[error("there is no such user in this project")]
    UserNotFound,
    #[error(
        "`absolute_file_path` must be an absolute path of at most {} bytes without a null byte",
        text::MAX_PATH_BYTES
    )]
    FilePathInvalid,
    #[error("`limit` must be between 1 and {max}")]
    LimitOutOfRange { max: i64 },
    #[error("`cursor` is not one that this list gave")]
    CursorInvalid,
    #[error("{0}")]
    Unreadable(String),
    #[error("a text has a null byte in it")]
    NullByte,
    #[error("`{field}` has more than {max_bytes} bytes")]
    TextTooLong { field: &'static str, max_bytes: usize },
    #[error("too much is asked for at once; try again in {} s", RETRY_AFTER_SECONDS)]
    TooBusy,
    #[error("the request's body is larger than any request of this API")]
    BodyTooLarge,
    #[error("the request's body did not come in time")]
    BodyTooSlow,
    #[error(
        "internal routes answer only under an address of this machine, such as http://127.0.0.1:26701, or `localhost`"
    )]
    ForeignHost,
    #[error("internal routes are for programs, and a page in a browser made this request")]
    ForeignOrigin,
    #[error("there is nothing at this address")]
    RouteNotFound,
    #[error("this address does not answer to this method")]
    MethodNotAllowed,
    /// The causes are for the journal: they may quote what others stored.
    #[error("the backend cannot reach its data, or failed to read it; its journal has the details")]
    Store(#[source] StoreError),
}

/// The body of every failure.
#[derive(Serialize)]
struct Body<'a> {
    code: &'a str,
    error: &'a str,
}

impl ApiError {
    fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::HeaderMissing(_) => (StatusCode::BAD_REQUEST, "HEADER_MISSING"),
            Self::AccessTypeUnknown => (StatusCode::BAD_REQUEST, "INVALID_ACCESS_TYPE"),
            Self::KeyWrong { access_type: AccessType::Client, .. } => {
                (StatusCode::UNAUTHORIZED, "INVALID_PUBLISHABLE_CLIENT_KEY")
            }
            Self::KeyWrong { access_type: AccessType::Server, .. } => {
                (StatusCode::UNAUTHORIZED, "INVALID_SECRET_SERVER_KEY")
            }
            Self::KeyWrong { access_type: AccessType::Admin, .. } => {
                (StatusCode::UNAUTHORIZED, "INVALID_SUPER_SECRET_ADMIN_KEY")
            }
            Self::AccessInsufficient { .. } => (StatusCode::FORBIDDEN, "INSUFFICIENT_ACCESS_TYPE"),
            Self::InternalProjectOnly => (StatusCode::FORBIDDEN, "INTERNAL_PROJECT_ONLY"),
            Self::InternalProjectUndeletable => (StatusCode::FORBIDDEN, "INTERNAL_PROJECT_UNDELETABLE"),
            Self::ProjectDeleted => (StatusCode::NOT_FOUND, "PROJECT_NOT_FOUND"),
            Self::AccessTokenInvalid => (StatusCode::UNAUTHORIZED, "INVALID_ACCESS_TOKEN"),
            Self::RefreshTokenInvalid => (StatusCode::UNAUTHORIZED, "INVALID_REFRESH_TOKEN"),
            Self::CronSecretWrong => (StatusCode::UNAUTHORIZED, "INVALID_CRON_SECRET"),
            Self::EmailPasswordMismatch => (StatusCode::UNAUTHORIZED, "EMAIL_PASSWORD_MISMATCH"),
            Self::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_ATTEMPTS"),
            Self::EmailInvalid(_) => (StatusCode::BAD_REQUEST, "INVALID_EMAIL"),
            Self::EmailTaken => (StatusCode::CONFLICT, "USER_EMAIL_ALREADY_EXISTS"),
            Self::PasswordLength { .. } => (StatusCode::BAD_REQUEST, "INVALID_PASSWORD_LENGTH"),
            Self::UserNotFound => (StatusCode::NOT_FOUND, "USER_NOT_FOUND"),
            Self::FilePathInvalid => (StatusCode::BAD_REQUEST, "INVALID_FILE_PATH"),
            Self::LimitOutOfRange { .. } => (StatusCode::BAD_REQUEST, "INVALID_LIMIT"),
            Self::CursorInvalid => (StatusCode::BAD_REQUEST, "INVALID_CURSOR"),
            Self::Unreadable(_) | Self::NullByte => (StatusCode::BAD_REQUEST, "SCHEMA_ERROR"),
            Self::TextTooLong { .. } => (StatusCode::BAD_REQUEST, "TEXT_TOO_LONG"),
            Self::TooBusy => (StatusCode::SERVICE_UNAVAILABLE, "TOO_BUSY"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "BODY_TOO_LARGE"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "BODY_TOO_SLOW"),
            Self::ForeignHost => (StatusCode::MISDIRECTED_REQUEST, "FOREIGN_HOST"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "FOREIGN_ORIGIN"),
            Self::RouteNotFound => (StatusCode::NOT_FOUND, "ROUTE_NOT_FOUND"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED"),
            Self::Store(error) if error.is_unavailable() => {
                (StatusCode::SERVICE_UNAVAILABLE, "SERVICE_UNAVAILABLE")
            }
            Self::Store(_) => (StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        if let Self::Store(error) = &self {
            error!(code, "{}", report(error));
        }
        let text = self.to_string();
        let mut response = (status, Json(Body { code, error: &text })).into_response();
        let retry_after_seconds = match self {
            Self::TooManyAttempts { retry_after_seconds } => Some(retry_after_seconds),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_SECONDS),
            _ => None,
        };
        if let Some(seconds) = retry_after_seconds {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NullByte => Self::NullByte,
            StoreError::TextTooLong { field, max_bytes } => Self::TextTooLong { field, max_bytes },
            StoreError::PasswordsBusy => Self::TooBusy,
            StoreError::Gone(Parent::Project) => Self::ProjectDeleted,
            StoreError::Gone(Parent::User) => Self::UserNotFound,
            StoreError::Gone(Parent::Session) => Self::RefreshTokenInvalid,
            error => Self::Store(error),
        }
    }
}

impl From<Unanswered> for ApiError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::TooLarge => Self::BodyTooLarge,
            Unanswered::TooSlow => Self::BodyTooSlow,
            Unanswered::Broken => Self::Unreadable("the request's body broke off".to_owned()),
            Unanswered::Overloaded => Self::TooBusy,
        }
    }
}

impl From<JsonRejection> for ApiError {
    fn from(rejection: JsonRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}

impl From<QueryRejection> for ApiError {
    fn from(rejection: QueryRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::Unreadable(rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    async fn rendered(error: ApiError) -> String {
        let response = error.into_response();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        format!("{status} {}", String::from_utf8_lossy(&body))
    }

    #[tokio::test]
    async fn a_failure_is_a_code_for_programs_and_a_text_for_people() {
        insta::assert_snapshot!(rendered(ApiError::UserNotFound).await, @r#"404 {"code":"USER_NOT_FOUND","error":"there is no such user in this project"}"#);
        let wrong = ApiError::KeyWrong { access_type: AccessType::Server, project_id: "internal".to_owned() };
        insta::assert_snapshot!(rendered(wrong).await, @r#"401 {"code":"INVALID_SECRET_SERVER_KEY","error":"the header `x-stack-secret-server-key` is not the server key of project `internal`"}"#);
        let short = ApiError::PasswordLength { length: 3 };
        insta::assert_snapshot!(rendered(short).await, @r#"400 {"code":"INVALID_PASSWORD_LENGTH","error":"a password has 8 to 256 bytes, and this one has 3"}"#);
    }

    #[tokio::test]
    async fn a_store_that_failed_reveals_nothing_of_its_inside() {
        insta::assert_snapshot!(rendered(ApiError::Store(StoreError::NotSeeded)).await, @r#"500 {"code":"INTERNAL_ERROR","error":"the backend cannot reach its data, or failed to read it; its journal has the details"}"#);
    }

    #[test]
    fn too_many_attempts_are_refused_with_the_time_to_try_again() {
        let response = ApiError::TooManyAttempts { retry_after_seconds: 42 }.into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "42");
        let response = ApiError::from(StoreError::PasswordsBusy).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn what_was_deleted_meanwhile_is_not_a_failure_of_the_server() {
        let status = |parent| ApiError::from(StoreError::Gone(parent)).status_and_code().0;
        assert_eq!(status(Parent::Project), StatusCode::NOT_FOUND);
        assert_eq!(status(Parent::User), StatusCode::NOT_FOUND);
        assert_eq!(status(Parent::Session), StatusCode::UNAUTHORIZED);
    }
}
