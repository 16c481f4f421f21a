//! Pages that say what went wrong.

use askama::Template;
use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
};
use guest::report;
use thiserror::Error;
use tracing::error;

use super::frame::Frame;
use crate::{request::Unanswered, store::StoreError};

/// When to try again after a temporary failure.
const RETRY_AFTER_SECONDS: u64 = 2;

/// Why the requested page is not shown.
#[derive(Debug, Error)]
pub(super) enum PageError {
    /// Not a failure: the visitor has to sign in first.
    #[error("not signed in")]
    NotSignedIn,
    #[error("there is no such page")]
    NotFound,
    #[error("the form came from another site")]
    ForeignForm,
    #[error("this is not the name of the dashboard's host")]
    ForeignHost,
    #[error("the form cannot be read")]
    Unreadable,
    #[error("the form did not come in time")]
    TooSlow,
    #[error("too much is asked for at once")]
    TooBusy,
    #[error("the store failed")]
    Store(#[source] StoreError),
    #[error("the page cannot be written")]
    Template(#[from] askama::Error),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NullByte | StoreError::TextTooLong { .. } => Self::Unreadable,
            StoreError::Gone(_) => Self::NotFound,
            StoreError::PasswordsBusy => Self::TooBusy,
            error => Self::Store(error),
        }
    }
}

impl From<Unanswered> for PageError {
    fn from(unanswered: Unanswered) -> Self {
        match unanswered {
            Unanswered::TooLarge | Unanswered::Broken => Self::Unreadable,
            Unanswered::TooSlow => Self::TooSlow,
            Unanswered::Overloaded => Self::TooBusy,
        }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    frame: Frame,
    title: &'static str,
    advice: &'static str,
}

impl PageError {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotSignedIn => StatusCode::SEE_OTHER,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::ForeignForm => StatusCode::FORBIDDEN,
            Self::ForeignHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Unreadable => StatusCode::BAD_REQUEST,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::TooBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(error) if error.is_unavailable() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Store(_) | Self::Template(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title_and_advice(&self) -> (&'static str, &'static str) {
        match self {
            Self::NotSignedIn | Self::NotFound => {
                ("Nothing here", "The address is wrong, or what it led to has been deleted.")
            }
            Self::ForeignForm => (
                "Refused",
                "The form was sent by another site. If that was you, open the dashboard and send it from there.",
            ),
            Self::ForeignHost => (
                "Wrong host",
                "Open the dashboard by its address on this machine, such as http://127.0.0.1:26700.",
            ),
            Self::Unreadable => ("Unreadable form", "Go back, reload the page, and send the form again."),
            Self::TooSlow => ("Too slow", "The form did not come in time. Send it again."),
            Self::TooBusy => ("Too busy", "Too much is asked for at once. Try again in a few seconds."),
            Self::Store(_) => (
                "The database did not answer",
                "The status page shows which service is down; the journal of the virtual machine has the details.",
            ),
            Self::Template(_) => (
                "Something broke",
                "This is a defect of the dashboard; the virtual machine's journal has the details.",
            ),
        }
    }
}

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match &self {
            Self::NotSignedIn => return Redirect::to("/handler/sign-in").into_response(),
            Self::Store(_) | Self::Template(_) => error!("{}", report(&self)),
            _ => {}
        }
        let (title, advice) = self.title_and_advice();
        let page = ErrorPage { frame: Frame::of_error(), title, advice };
        let mut response = match page.render() {
            Ok(html) => (self.status(), Html(html)).into_response(),
            Err(_) => (self.status(), format!("{title}\n\n{advice}\n")).into_response(),
        };
        if response.status() == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        response
    }
}

/// Renders a page.
pub(super) fn html(page: &impl Template) -> Result<Html<String>, PageError> {
    Ok(Html(page.render()?))
}
