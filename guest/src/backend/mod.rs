//! The API.

mod access;
mod error;
mod extract;
mod routes;

use std::time::Duration;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, Method, StatusCode, header},
};
use tower_http::{
    cors::{Any, CorsLayer},
    timeout::TimeoutLayer,
};
use tracing::{error, info};

use self::error::ApiError;
use crate::{
    service,
    settings::CurrentSettings,
    store::{Store, keys::AccessType, report},
};

/// No request of this API carries more than a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// Longer than every deadline below it; only a bug gets here.
const REQUEST_DEADLINE: Duration = Duration::from_secs(15);
/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_LIFETIME: Duration = Duration::from_mins(10);

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Store,
    settings: CurrentSettings,
}

/// Runs the backend until it is told to stop.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let settings = CurrentSettings::load()?;
    let port = settings.get().backend_port;
    let store = Store::new(&settings.get())?;
    let backend = Backend { store, settings };
    service::run(async {
        let listener = service::bind(port).await?;
        service::serve(listener, router(backend.clone()), || reload(&backend)).await
    })?
}

/// Takes changed settings in and forgets pooled connections.
fn reload(backend: &Backend) {
    match backend.settings.reload() {
        Ok(()) => info!("read the settings again"),
        Err(error) => error!("the old settings stay: {}", report(&error)),
    }
    backend.store.drain();
}

fn router(backend: Backend) -> Router {
    routes::public()
        // Frontends on other origins call these. They prove themselves by headers and never by cookies, so that any origin
        // may ask; the internal routes are for programs, and no page of any origin gets at them.
        .layer(cross_origin())
        .merge(routes::internal())
        .fallback(async || ApiError::RouteNotFound)
        .method_not_allowed_fallback(async || ApiError::MethodNotAllowed)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, REQUEST_DEADLINE))
        .with_state(backend)
}

fn cross_origin() -> CorsLayer {
    let headers = [
        header::CONTENT_TYPE.as_str(),
        access::PROJECT_ID,
        access::ACCESS_TYPE,
        access::ACCESS_TOKEN,
        access::REFRESH_TOKEN,
        AccessType::Client.key_header(),
        AccessType::Server.key_header(),
        AccessType::Admin.key_header(),
    ];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::POST, Method::PATCH, Method::DELETE])
        .allow_headers(headers.map(HeaderName::from_static))
        .max_age(PREFLIGHT_LIFETIME)
}
