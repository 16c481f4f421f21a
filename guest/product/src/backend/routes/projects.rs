//! The project whose key the caller holds.

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;

use super::super::{
    Backend,
    access::{Access, Admin, Client},
    error::ApiError,
};
use super::users::millis;
use crate::store::projects;

#[derive(Serialize)]
pub(super) struct ProjectBody {
    id: String,
    display_name: String,
    created_at_millis: i64,
}

pub(super) async fn read(
    State(backend): State<Backend>,
    access: Access<Client>,
) -> Result<Json<ProjectBody>, ApiError> {
    // The key was valid a moment ago: the project has been deleted since, and with it the key.
    let project =
        projects::find(&backend.store.database, &access.project_id).await?.ok_or(ApiError::ProjectDeleted)?;
    Ok(Json(ProjectBody {
        id: project.id,
        display_name: project.display_name,
        created_at_millis: millis(project.created_at),
    }))
}

pub(super) async fn delete(
    State(backend): State<Backend>,
    access: Access<Admin>,
) -> Result<StatusCode, ApiError> {
    if access.project_id == projects::INTERNAL {
        return Err(ApiError::InternalProjectUndeletable);
    }
    if projects::delete(&backend.store.database, &access.project_id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::ProjectDeleted)
    }
}
