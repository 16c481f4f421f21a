//! The list of projects, and a project's keys.

use askama::Template;
use axum::{
    extract::{Path, State},
    response::{Html, Redirect},
};
use time::OffsetDateTime;

use super::{
    Dashboard,
    error::{PageError, html},
    frame::{Frame, Section},
    session::Admin,
    times,
};
use crate::store::{
    keys::{self, AccessType},
    projects::{self, Project},
};

#[derive(Template)]
#[template(path = "projects.html")]
struct ProjectsPage {
    frame: Frame,
    rows: Vec<ProjectRow>,
}

/// A project as the list shows it.
struct ProjectRow {
    id: String,
    name: String,
    config_file_path: Option<String>,
    users: i64,
    created: String,
    is_internal: bool,
}

#[derive(Template)]
#[template(path = "keys.html")]
struct KeysPage {
    frame: Frame,
    project: Project,
    keys: Vec<KeyRow>,
    api_url: String,
}

/// A key as the page shows it.
struct KeyRow {
    name: &'static str,
    header: &'static str,
    masked: String,
    purpose: &'static str,
}

pub(super) async fn list(
    State(dashboard): State<Dashboard>,
    Admin(admin): Admin,
) -> Result<Html<String>, PageError> {
    let now = OffsetDateTime::now_utc();
    let rows = projects::list(&dashboard.store.database)
        .await?
        .into_iter()
        .map(|(project, users)| ProjectRow {
            is_internal: project.id == projects::INTERNAL,
            id: project.id,
            name: project.display_name,
            config_file_path: project.config_file_path,
            users,
            created: times::ago(project.created_at, now),
        })
        .collect();
    html(&ProjectsPage {
        frame: Frame::new(&dashboard.settings.get(), Section::Projects, Some(&admin)),
        rows,
    })
}

pub(super) async fn home(
    State(dashboard): State<Dashboard>,
    _: Admin,
    Path(project_id): Path<String>,
) -> Result<Redirect, PageError> {
    Ok(to_users(&find(&dashboard, &project_id).await?))
}

/// Redirects to the users of a project that exists: unverified text of one address must not get into another.
pub(super) fn to_users(project: &Project) -> Redirect {
    Redirect::to(&format!("/projects/{}/users", project.id))
}

pub(super) async fn keys(
    State(dashboard): State<Dashboard>,
    Admin(admin): Admin,
    Path(project_id): Path<String>,
) -> Result<Html<String>, PageError> {
    let project = find(&dashboard, &project_id).await?;
    let set = keys::of_project(&dashboard.store.database, &project_id).await?.ok_or(PageError::NotFound)?;
    let row = |access_type: AccessType, name, purpose| KeyRow {
        name,
        header: access_type.key_header(),
        masked: set.key(access_type).masked(),
        purpose,
    };
    let settings = dashboard.settings.get();
    html(&KeysPage {
        frame: Frame::new(&settings, Section::Projects, Some(&admin)),
        project,
        keys: vec![
            row(AccessType::Client, "Publishable client key", "May be in code that users can see."),
            row(AccessType::Server, "Secret server key", "Acts for every user: for your server only."),
            row(
                AccessType::Admin,
                "Super secret admin key",
                "Acts for the project itself: for your tools only.",
            ),
        ],
        api_url: settings.backend_url.clone(),
    })
}

/// The project that a page is about.
pub(super) async fn find(dashboard: &Dashboard, project_id: &str) -> Result<Project, PageError> {
    projects::find(&dashboard.store.database, project_id).await?.ok_or(PageError::NotFound)
}
