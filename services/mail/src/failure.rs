//! Failures as answers of HTTP.

use std::time::Duration;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use guest::report;
use service_kit::database::DatabaseError;
use thiserror::Error;
use tracing::error;

/// For the whole of an answer. The waits for the database are shorter.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// Why a request is not answered.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// There is no such message or path.
    #[error("404 page not found")]
    NotFound,
    /// The request cannot be understood.
    #[error("{0}")]
    Invalid(&'static str),
    /// A page of another site made the request.
    #[error("requests of other sites are refused: open this page by 127.0.0.1 or localhost")]
    Foreign,
    /// There is no room, or no time was left.
    #[error("too much at once; try again")]
    Busy,
    /// The database gave no answer.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl Failure {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Invalid(_) => StatusCode::BAD_REQUEST,
            Self::Foreign => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(failure) if failure.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What is wrong, for the one who asked. The journal has the details of what should never happen.
    pub(crate) fn reason(&self) -> String {
        match self {
            Self::Database(failure) if failure.is_unavailable() => report(failure),
            Self::Database(failure) => {
                error!("{}", report(failure));
                "the database refused; the journal has the details".to_owned()
            }
            _ => self.to_string(),
        }
    }
}

/// Adds when to ask again, if there is no room or no database now.
pub(crate) fn timed(mut response: Response) -> Response {
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        timed((self.status(), format!("{}\n", self.reason())).into_response())
    }
}
