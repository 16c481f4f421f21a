//! Signing in and out.

use askama::Template;
use axum::{
    Form,
    extract::State,
    extract::rejection::FormRejection,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse as _, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use protocol::Secret;
use serde::Deserialize;

use super::{
    Dashboard,
    error::{PageError, html},
    frame::{Frame, Section},
    session::{self, MaybeAdmin},
};
use crate::{
    local_admin,
    store::{
        authentication::{self, Proven, Refusal},
        projects, sessions,
    },
};

/// Where a visitor who is signed in belongs.
const HOME: &str = "/projects";

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    frame: Frame,
    /// What is in the field.
    email: String,
    /// Why the last attempt failed.
    refusal: Option<String>,
    admin_email: &'static str,
    admin_password: &'static str,
}

impl SignInPage {
    fn new(dashboard: &Dashboard, email: String, refusal: Option<String>) -> Self {
        Self {
            frame: Frame::new(&dashboard.settings.get(), Section::None, None),
            email,
            refusal,
            admin_email: local_admin::EMAIL,
            admin_password: local_admin::PASSWORD,
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Credentials {
    email: String,
    password: String,
}

pub(super) async fn page(
    State(dashboard): State<Dashboard>,
    MaybeAdmin(admin): MaybeAdmin,
) -> Result<Response, PageError> {
    if admin.is_some() {
        return Ok(Redirect::to(HOME).into_response());
    }
    let page = SignInPage::new(&dashboard, local_admin::EMAIL.to_owned(), None);
    Ok(html(&page)?.into_response())
}

pub(super) async fn submit(
    State(dashboard): State<Dashboard>,
    headers: HeaderMap,
    form: Result<Form<Credentials>, FormRejection>,
) -> Result<Response, PageError> {
    let Form(Credentials { email, password }) = form.map_err(|_| PageError::Unreadable)?;
    let outcome =
        authentication::with_password(&dashboard.store, projects::INTERNAL, &email, Secret::new(password))
            .await?;
    let (status, refusal) = match outcome {
        Ok(Proven { user, password_hash }) if user.is_dashboard_admin => {
            let opened = sessions::open(&dashboard.store.database, user.id, &password_hash).await?;
            if let Some(opened) = opened {
                let cookie = session::cookie(&headers, &opened.refresh_token.secret);
                return Ok((CookieJar::new().add(cookie), Redirect::to(HOME)).into_response());
            }
            mismatch()
        }
        Ok(_) | Err(Refusal::Mismatch) => mismatch(),
        Err(Refusal::TooManyAttempts(too_many)) => (
            StatusCode::TOO_MANY_REQUESTS,
            format!(
                "There have been too many attempts with this address. Please try again in {} s.",
                too_many.retry_after.as_secs()
            ),
        ),
    };
    let page = SignInPage::new(&dashboard, email, Some(refusal));
    Ok((status, html(&page)?).into_response())
}

fn mismatch() -> (StatusCode, String) {
    let text = "That e-mail address and password do not go together. Please try again.";
    (StatusCode::UNAUTHORIZED, text.to_owned())
}

pub(super) async fn sign_out(
    State(dashboard): State<Dashboard>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    if let Some(token) = session::token(&headers) {
        sessions::close(&dashboard.store.database, projects::INTERNAL, token.reveal()).await?;
    }
    let jar = CookieJar::new().add(session::expired_cookie(&headers));
    Ok((jar, Redirect::to("/handler/sign-in")).into_response())
}
