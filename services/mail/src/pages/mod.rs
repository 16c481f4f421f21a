//! Pages for people: HTML from templates, forms, no script.

mod failure;
mod files;
mod shown;
mod views;

use std::sync::Arc;

use axum::{
    Router,
    http::{HeaderName, HeaderValue, header},
    routing::{get, post},
};
use tower_http::set_header::SetResponseHeaderLayer;

use crate::inbox::Inbox;

const STYLE: &str = include_str!("../../assets/mail.css");

/// On every page that says nothing else. Nothing runs in these pages and nothing comes from elsewhere. The referrer stays within the
/// origin: with none at all, browsers would send `Origin: null` with forms, and the guard would refuse them.
const HEADERS: [(HeaderName, HeaderValue); 5] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
    (header::X_DNS_PREFETCH_CONTROL, HeaderValue::from_static("off")),
    (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
];

pub(crate) fn routes() -> Router<Arc<Inbox>> {
    let mut router = Router::new()
        .route("/", get(views::home))
        .route("/open", get(views::open))
        .route("/mailbox/{name}", get(views::mailbox))
        .route("/mailbox/{name}/purge", post(views::purge))
        .route("/mailbox/{name}/{id}", get(views::message))
        .route("/mailbox/{name}/{id}/delete", post(views::delete))
        .route("/mailbox/{name}/{id}/html", get(files::html))
        .route("/mailbox/{name}/{id}/source", get(crate::rest::source))
        .route("/serve/mailbox/{name}/{id}/attach/{index}/{file}", get(files::attachment))
        .route(
            "/assets/mail.css",
            get(async || ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE)),
        );
    for (name, value) in HEADERS {
        router = router.layer(SetResponseHeaderLayer::if_not_present(name, value));
    }
    router
}
