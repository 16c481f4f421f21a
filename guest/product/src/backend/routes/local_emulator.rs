//! What the emulator's command-line tool requests: a project for a configuration file on the developer's machine.

use std::path::Path;

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::super::{Backend, access::InternalClient, error::ApiError, extract};
use crate::store::{projects, text};

#[derive(Deserialize)]
pub(super) struct Request {
    absolute_file_path: String,
}

/// The project and, as an exception, its keys: the tool hands them to the developer's own programs.
#[derive(Serialize)]
pub(super) struct Answer {
    project_id: String,
    publishable_client_key: String,
    secret_server_key: String,
    super_secret_admin_key: String,
}

pub(super) async fn project(
    State(backend): State<Backend>,
    _: InternalClient,
    extract::Json(request): extract::Json<Request>,
) -> Result<Json<Answer>, ApiError> {
    let path = checked_path(&request.absolute_file_path)?;
    let (project_id, keys) =
        projects::for_config_file(&backend.store.database, path, display_name(path)).await?;
    Ok(Json(Answer {
        project_id,
        publishable_client_key: keys.publishable_client.reveal().to_owned(),
        secret_server_key: keys.secret_server.reveal().to_owned(),
        super_secret_admin_key: keys.super_secret_admin.reveal().to_owned(),
    }))
}

/// Checks that PostgreSQL can store the path and that it means the same file for every caller.
fn checked_path(path: &str) -> Result<&str, ApiError> {
    if Path::new(path).is_absolute() && path.len() <= text::MAX_PATH_BYTES && !path.contains('\0') {
        Ok(path)
    } else {
        Err(ApiError::FilePathInvalid)
    }
}

/// Names the project after the directory, as a developer does.
fn display_name(path: &str) -> &str {
    let path = Path::new(path);
    let directory = path.parent().and_then(Path::file_name);
    directory.or(path.file_name()).and_then(|name| name.to_str()).unwrap_or("project")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_absolute_path_names_a_project() {
        assert!(checked_path("/home/ada/shop/stack.config.json").is_ok());
        for path in ["", "stack.config.json", "./x", "/with\0null", &format!("/{}", "x".repeat(2048))] {
            assert!(checked_path(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_project_is_called_after_the_directory_of_its_file() {
        assert_eq!(display_name("/home/ada/shop/stack.config.json"), "shop");
        assert_eq!(display_name("/stack.config.json"), "stack.config.json");
        assert_eq!(display_name("/"), "project");
    }
}
