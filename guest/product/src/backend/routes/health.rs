//! Whether the backend is up, and whether it can do its work.

use axum::{
    Json,
    extract::State,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use guest::report;
use serde::{Deserialize, Serialize};

use super::super::{Backend, error::RETRY_AFTER_SECONDS, extract::Query};
use crate::store::probe::{self, Probe};

#[derive(Deserialize)]
pub(super) struct Options {
    /// `db=1` asks PostgreSQL, Redis and the disk as well.
    db: Option<String>,
}

#[derive(Serialize)]
struct Report {
    status: &'static str,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    failure: Option<Failure>,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// The fields that make an unhealthy answer one of this API's errors as well.
#[derive(Serialize)]
struct Failure {
    code: &'static str,
    error: String,
}

#[derive(Serialize)]
struct Checks {
    postgres: Check,
    redis: Check,
    disk: Check,
}

#[derive(Serialize)]
struct Check {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_ms: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(super) async fn health(State(backend): State<Backend>, Query(options): Query<Options>) -> Response {
    let report = if options.db.as_deref() == Some("1") {
        let (postgres, redis) = tokio::join!(probe::postgres(&backend.store), probe::redis(&backend.store));
        Report::of(postgres, redis, probe::disk())
    } else {
        Report { status: "ok", failure: None, checks: None }
    };
    let status = if report.failure.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    let mut response = (status, [(header::CACHE_CONTROL, "no-store")], Json(report)).into_response();
    if status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    }
    response
}

impl Report {
    fn of(postgres: Probe, redis: Probe, disk: Probe) -> Self {
        let checks = Checks { postgres: Check::of(postgres), redis: Check::of(redis), disk: Check::of(disk) };
        let reasons: Vec<_> = [&checks.postgres, &checks.redis, &checks.disk]
            .into_iter()
            .filter_map(|check| check.error.as_deref())
            .collect();
        let failure = (!reasons.is_empty()).then(|| Failure { code: "UNHEALTHY", error: reasons.join("; ") });
        let status = if failure.is_some() { "unhealthy" } else { "ok" };
        Self { status, failure, checks: Some(checks) }
    }
}

impl Check {
    fn of(probe: Probe) -> Self {
        match probe {
            Ok(latency) => {
                let latency_ms = (latency.as_secs_f64() * 1e5).round() / 100.0;
                Self { status: "ok", latency_ms: Some(latency_ms), error: None }
            }
            Err(error) => Self { status: "failed", latency_ms: None, error: Some(report(&error)) },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::StoreError;

    #[test]
    fn a_healthy_answer_has_all_latencies() {
        let report = Report::of(
            Ok(Duration::from_micros(1234)),
            Ok(Duration::from_micros(300)),
            Ok(Duration::from_micros(50)),
        );
        insta::assert_snapshot!(
            serde_json::to_string(&report).unwrap(),
            @r#"{"status":"ok","checks":{"postgres":{"status":"ok","latency_ms":1.23},"redis":{"status":"ok","latency_ms":0.3},"disk":{"status":"ok","latency_ms":0.05}}}"#
        );
    }

    #[test]
    fn an_unhealthy_answer_says_what_failed_and_why() {
        let report = Report::of(
            Err(StoreError::NotSeeded),
            Err(StoreError::TimedOut { service: "Redis", seconds: 2.0 }),
            Err(StoreError::Disk(std::io::Error::from(std::io::ErrorKind::ReadOnlyFilesystem))),
        );
        insta::assert_snapshot!(
            report.failure.unwrap().error,
            @"PostgreSQL has no project `internal`: the seed has not run; Redis gave no answer within 2 s; the disk cannot be written: read-only filesystem or storage medium"
        );
    }
}
