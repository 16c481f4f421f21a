//! The health path of every service.

use std::{future::Future, time::Duration};

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use guest::report;
use tokio::time::timeout;

/// Where a service answers whether it can do its work. No bucket, user or application can have this name.
pub const PATH: &str = "/_stack/health";

/// Longer than any normal answer takes even under software emulation on a busy machine, where a connection may have to be opened first.
const DEADLINE: Duration = Duration::from_secs(5);

/// Asked again after this many seconds, a service that was starting has started.
const RETRY_AFTER_SECONDS: u64 = 2;

/// Answers 200 if `check` succeeds, otherwise 503 with the reason.
pub async fn answer(check: impl Future<Output = anyhow::Result<()>>) -> Response {
    let reason = match timeout(DEADLINE, check).await {
        Ok(Ok(())) => return (StatusCode::OK, "ok\n").into_response(),
        Ok(Err(error)) => report(&*error),
        Err(_) => format!("no answer within {} s", DEADLINE.as_secs()),
    };
    let mut response = (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}
