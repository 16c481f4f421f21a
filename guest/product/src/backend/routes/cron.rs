//! The periodic tasks. They run here, where the data is; the cron service only says when.

use std::time::Instant;

use axum::{Json, extract::State};
use serde::Serialize;

use super::super::{Backend, access::CronService, error::ApiError};
use crate::{
    cron::DELETE_EXPIRED_SESSIONS,
    store::{cron_tasks, sessions},
};

#[derive(Serialize)]
pub(super) struct Deleted {
    sessions: u64,
    access_tokens: u64,
}

pub(super) async fn delete_expired_sessions(
    State(backend): State<Backend>,
    _: CronService,
) -> Result<Json<Deleted>, ApiError> {
    let started = Instant::now();
    let (sessions, access_tokens) = sessions::delete_expired(&backend.store.database).await?;
    let summary = format!("deleted {sessions} sessions and {access_tokens} access tokens");
    cron_tasks::record(&backend.store.database, DELETE_EXPIRED_SESSIONS.name, started.elapsed(), &summary)
        .await?;
    Ok(Json(Deleted { sessions, access_tokens }))
}
