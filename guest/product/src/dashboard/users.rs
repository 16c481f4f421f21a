//! A project's users: list, create, delete.

use askama::Template;
use axum::{
    Form,
    extract::{
        Path, Query, State,
        rejection::{FormRejection, PathRejection, QueryRejection},
    },
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use protocol::Secret;
use serde::Deserialize;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    Dashboard,
    error::{PageError, html},
    frame::{Frame, Section},
    projects,
    session::Admin,
    times,
};
use crate::store::{
    passwords,
    projects::Project,
    text,
    users::{self, EmailTaken, NewUser, User},
};

/// Users on a page.
const PAGE: usize = 25;

#[derive(Template)]
#[template(path = "users.html")]
struct UsersPage {
    frame: Frame,
    project: Project,
    rows: Vec<UserRow>,
    /// What the list was searched for.
    search: String,
    /// Whether this is a later page of the list.
    is_continued: bool,
    next_cursor: Option<i64>,
    /// What the form for a new user holds, and what is wrong with it.
    draft: Draft,
    refusal: Option<String>,
}

/// A user as the list shows one.
struct UserRow {
    id: Uuid,
    email: String,
    name: Option<String>,
    has_password: bool,
    is_dashboard_admin: bool,
    created: String,
    last_signed_in: Option<String>,
}

impl UserRow {
    fn of(user: User, now: OffsetDateTime) -> Self {
        Self {
            id: user.id,
            email: user.primary_email,
            name: user.display_name,
            has_password: user.has_password,
            is_dashboard_admin: user.is_dashboard_admin,
            created: times::ago(user.created_at, now),
            last_signed_in: user.last_signed_in_at.map(|at| times::ago(at, now)),
        }
    }
}

#[derive(Deserialize, Default)]
pub(super) struct Options {
    #[serde(default)]
    search: String,
    after: Option<i64>,
}

/// The form for a new user.
#[derive(Deserialize, Default)]
pub(super) struct Draft {
    email: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    password: String,
}

pub(super) async fn list(
    State(dashboard): State<Dashboard>,
    Admin(admin): Admin,
    Path(project_id): Path<String>,
    options: Result<Query<Options>, QueryRejection>,
) -> Result<Response, PageError> {
    let Query(options) = options.map_err(|_| PageError::NotFound)?;
    Ok(html(&page(&dashboard, &admin, &project_id, options, Draft::default(), None).await?)?.into_response())
}

pub(super) async fn create(
    State(dashboard): State<Dashboard>,
    Admin(admin): Admin,
    Path(project_id): Path<String>,
    form: Result<Form<Draft>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(draft) = form.map_err(|_| PageError::Unreadable)?;
    let project = projects::find(&dashboard, &project_id).await?;
    match add(&dashboard, &project, &draft).await? {
        Ok(()) => Ok(projects::to_users(&project).into_response()),
        Err(refusal) => {
            let page =
                page(&dashboard, &admin, &project_id, Options::default(), draft, Some(refusal)).await?;
            Ok((StatusCode::UNPROCESSABLE_ENTITY, html(&page)?).into_response())
        }
    }
}

pub(super) async fn delete(
    State(dashboard): State<Dashboard>,
    Admin(admin): Admin,
    path: Result<Path<(String, Uuid)>, PathRejection>,
) -> Result<Response, PageError> {
    let Path((project_id, user_id)) = path.map_err(|_| PageError::NotFound)?;
    // An admin who deletes their own account could not sign in again.
    if user_id == admin.id {
        let refusal = Some("You are signed in as this user, so it stays.".to_owned());
        let page =
            page(&dashboard, &admin, &project_id, Options::default(), Draft::default(), refusal).await?;
        return Ok((StatusCode::CONFLICT, html(&page)?).into_response());
    }
    let project = projects::find(&dashboard, &project_id).await?;
    users::delete(&dashboard.store.database, &project.id, user_id).await?;
    Ok(projects::to_users(&project).into_response())
}

/// Adds the user of a form, or says in a sentence why not.
async fn add(
    dashboard: &Dashboard,
    project: &Project,
    draft: &Draft,
) -> Result<Result<(), String>, PageError> {
    let Some(primary_email) = users::normalise_email(&draft.email) else {
        return Ok(Err(format!("“{}” is not an e-mail address.", draft.email)));
    };
    let display_name = Some(draft.name.trim()).filter(|name| !name.is_empty()).map(str::to_owned);
    if display_name.as_ref().is_some_and(|name| name.len() > text::MAX_NAME_BYTES) {
        return Ok(Err(format!("A name has at most {} bytes.", text::MAX_NAME_BYTES)));
    }
    let password_hash = match draft.password.len() {
        0 => None,
        length if passwords::LENGTH.contains(&length) => {
            Some(passwords::hash(Secret::new(draft.password.as_str())).await?)
        }
        _ => {
            return Ok(Err(format!(
                "A password has {} to {} bytes.",
                passwords::LENGTH.start(),
                passwords::LENGTH.end()
            )));
        }
    };
    let new = NewUser { primary_email, display_name, password_hash };
    let added = users::create(&dashboard.store.database, &project.id, new).await?;
    Ok(match added {
        Ok(_) => Ok(()),
        Err(EmailTaken) => Err("The project has a user with this e-mail address.".to_owned()),
    })
}

async fn page(
    dashboard: &Dashboard,
    admin: &User,
    project_id: &str,
    options: Options,
    draft: Draft,
    refusal: Option<String>,
) -> Result<UsersPage, PageError> {
    let project = projects::find(dashboard, project_id).await?;
    let search = Some(options.search.trim()).filter(|search| !search.is_empty());
    // One more than is shown: it means that there is another page.
    let limit = i64::try_from(PAGE + 1).expect("a page is short");
    let mut found = users::page(&dashboard.store.database, project_id, options.after, limit, search).await?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next_cursor = if more { found.last().map(|user| user.ordinal) } else { None };
    let now = OffsetDateTime::now_utc();
    Ok(UsersPage {
        frame: Frame::new(&dashboard.settings.get(), Section::Projects, Some(admin)),
        project,
        rows: found.into_iter().map(|user| UserRow::of(user, now)).collect(),
        search: options.search,
        is_continued: options.after.is_some(),
        next_cursor,
        draft,
        refusal,
    })
}
