//! Failures of what is below the protocol, as errors of the protocol.

use guest::report;
use s3s::{S3Error, S3ErrorCode, s3_error};
use service_kit::database::DatabaseError;
use tracing::error;

/// The error for a failure of the database. The journal has the details of one that is not about to pass.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
pub(crate) fn database(failure: DatabaseError) -> S3Error {
    if failure.is_unavailable() {
        return S3Error::with_message(S3ErrorCode::ServiceUnavailable, report(&failure));
    }
    error!("{}", report(&failure));
    s3_error!(InternalError, "the database refused; the journal has the details")
}

/// The error for a failure of the disk.
#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` passes")]
pub(crate) fn disk(failure: std::io::Error) -> S3Error {
    error!("the files cannot be used: {}", report(&failure));
    s3_error!(InternalError, "the disk cannot be read or written: {failure}")
}

/// The error with a code that crate `s3s` does not know.
pub(crate) fn custom(code: &'static str, status: http_status::Code, message: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), message);
    error.set_status_code(status);
    error
}

/// The type of a status, by the name that this room uses for it.
pub(crate) mod http_status {
    pub(crate) use axum::http::StatusCode as Code;
}
