//! The dashboard: HTML from templates, forms, no script. It shares the store with the backend instead of asking it over HTTP, so
//! that it holds no key of its own and can still show what is broken when the backend is what is broken.

mod assets;
mod error;
mod frame;
mod guard;
mod projects;
mod session;
mod sign_in;
mod status;
mod times;
mod users;

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware,
    response::Redirect,
    routing::{get, post},
};
use tower_http::{set_header::SetResponseHeaderLayer, timeout::TimeoutLayer};
use tracing::{error, info};

use self::error::PageError;
use crate::{
    service,
    settings::CurrentSettings,
    store::{Store, report},
};

/// No form is larger.
const MAX_BODY_BYTES: usize = 16 * 1024;
/// Longer than every deadline below it; only a bug gets here.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);

/// On every answer. Nothing runs in these pages and nothing comes from elsewhere. The referrer stays within the origin; with
/// none at all, browsers would send `Origin: null` with forms, and the guard would refuse them.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("same-origin")),
];

/// What every page can reach.
#[derive(Clone)]
pub(crate) struct Dashboard {
    store: Store,
    settings: CurrentSettings,
}

/// Runs the dashboard until it is told to stop.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    let port = settings.get().dashboard_port;
    let store = Store::new(&settings.get())?;
    let dashboard = Dashboard { store, settings };
    service::run(async {
        let listener = service::bind(port).await?;
        service::serve(listener, router(dashboard.clone()), || reload(&dashboard)).await
    })?
}

/// Takes changed settings in and forgets pooled connections.
fn reload(dashboard: &Dashboard) {
    match dashboard.settings.reload() {
        Ok(()) => info!("read the settings again"),
        Err(error) => error!("the old settings stay: {}", report(&error)),
    }
    dashboard.store.drain();
}

fn router(dashboard: Dashboard) -> Router {
    let pages = Router::new()
        .route("/", get(async || Redirect::to("/projects")))
        .route("/handler/sign-in", get(sign_in::page).post(sign_in::submit))
        .route("/handler/sign-out", post(sign_in::sign_out))
        .route("/projects", get(projects::list))
        .route("/projects/{project_id}", get(projects::home))
        .route("/projects/{project_id}/keys", get(projects::keys))
        .route("/projects/{project_id}/users", get(users::list).post(users::create))
        .route("/projects/{project_id}/users/{user_id}/delete", post(users::delete))
        .route("/status", get(status::page))
        .fallback(async || PageError::NotFound)
        .method_not_allowed_fallback(async || PageError::NotFound)
        .layer(SetResponseHeaderLayer::overriding(
            header::CACHE_CONTROL,
            HeaderValue::from_static("no-store"),
        ));
    let mut router = pages
        .merge(assets::routes())
        .layer(middleware::from_fn_with_state(dashboard.clone(), guard::check))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_DEADLINE));
    for (name, value) in SECURITY_HEADERS {
        router = router.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    router.with_state(dashboard)
}
