//! Failures as pages.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use service_kit::database::DatabaseError;

use crate::failure::{Failure, timed};

/// A failure that a person sees.
pub(super) struct Shown(Failure);

impl From<Failure> for Shown {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl From<DatabaseError> for Shown {
    fn from(error: DatabaseError) -> Self {
        Self(error.into())
    }
}

#[derive(Template)]
#[template(path = "failure.html")]
struct Page {
    title: &'static str,
    reason: String,
}

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        let (title, reason) = match &self.0 {
            Failure::NotFound => {
                ("Not found", "There is no such page or message; it may be deleted.".to_owned())
            }
            Failure::Database(_) => ("The database did not answer", self.0.reason()),
            other => ("This is not possible", other.reason()),
        };
        let response = match (Page { title, reason }).render() {
            Ok(page) => (self.0.status(), Html(page)).into_response(),
            Err(_) => self.0.status().into_response(),
        };
        timed(response)
    }
}
