//! The two files that every page uses, embedded.

use axum::{
    Router,
    http::{HeaderName, header},
    routing::get,
};

use super::Dashboard;

const STYLE: &str = include_str!("../../assets/stack.css");
const MARK: &str = include_str!("../../assets/mark.svg");

/// Revalidating costs a round trip on the loopback, and the pages of a new image never use an old image's files.
const CACHING: (HeaderName, &str) = (header::CACHE_CONTROL, "no-cache");

pub(super) fn routes() -> Router<Dashboard> {
    Router::new()
        .route(
            "/assets/stack.css",
            get(async || ([CACHING, (header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)),
        )
        .route("/assets/mark.svg", get(async || ([CACHING, (header::CONTENT_TYPE, "image/svg+xml")], MARK)))
}
