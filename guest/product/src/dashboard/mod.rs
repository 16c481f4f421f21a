//! The dashboard: HTML from templates, forms, no script. It shares the store with the backend instead of asking it over HTTP, so
//! that it holds no key of its own and can still show what is broken when the backend is down.

mod assets;
mod error;
mod frame;
mod projects;
mod session;
mod sign_in;
mod status;
mod times;
mod users;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Redirect, Response},
    routing::{get, post},
};
use guest::{
    control::{Call, Order, Progress, Socket, not_taken},
    http_server::Service,
    service,
};
use service_kit::guard::{self, Foreign};
use tower_http::set_header::SetResponseHeaderLayer;

use self::error::PageError;
use crate::{
    request,
    settings::{CurrentSettings, SettingsError, has_reloaded},
    store::Store,
};

/// No form is larger.
const MAX_BODY_BYTES: usize = 16 * 1024;

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

/// Runs the dashboard until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let control = Socket::bind()?;
    let settings = CurrentSettings::load()?;
    let port = settings.get().dashboard_port;
    let store = Store::new(&settings.get())?;
    let dashboard = Dashboard { store, settings };
    service::run(async {
        let listener = service::bind(port)?;
        let reload = async || has_reloaded(reload(&dashboard));
        let carry_out = async |call| carry_out(call, &dashboard).await;
        let service =
            Service { router: router(dashboard.clone()), busy: || PageError::TooBusy.into_response() };
        service::serve(listener, service, control, reload, carry_out).await
    })?
}

/// Reads changed settings, and forgets pooled connections. New ones are opened when a request needs them: now, they would take time
/// from the backend's, which a start waits for.
fn reload(dashboard: &Dashboard) -> Result<(), SettingsError> {
    dashboard.store.drain();
    dashboard.settings.reload()
}

async fn carry_out(call: Call, dashboard: &Dashboard) {
    let result = match call.order {
        Order::Reload => reload(dashboard).map(|()| Progress::Done).map_err(Into::into),
        Order::Drain => {
            dashboard.store.drain();
            Ok(Progress::Done)
        }
        order => Err(not_taken(order)),
    };
    call.answer(result).await;
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
        .layer(middleware::from_fn(within_limits))
        .layer(middleware::from_fn_with_state(dashboard.clone(), only_own_pages));
    for (name, value) in SECURITY_HEADERS {
        router = router.layer(SetResponseHeaderLayer::overriding(name, value));
    }
    router.with_state(dashboard)
}

async fn within_limits(request: Request, next: Next) -> Result<Response, PageError> {
    Ok(request::answer(request, MAX_BODY_BYTES, next).await?)
}

async fn only_own_pages(State(dashboard): State<Dashboard>, request: Request, next: Next) -> Response {
    match guard::check(request.method(), request.headers(), Some(&dashboard.settings.get().dashboard_url)) {
        Ok(()) => next.run(request).await,
        Err(Foreign::Host) => PageError::ForeignHost.into_response(),
        Err(Foreign::Origin) => PageError::ForeignForm.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{Request, StatusCode, request::Builder},
    };
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{local_admin, settings::Settings};

    /// The answer of a dashboard whose PostgreSQL, Redis and backend are nowhere.
    async fn answer(request: Builder) -> (StatusCode, axum::http::HeaderMap, String) {
        let settings = Settings {
            database_url: "host=/nonexistent user=stack".to_owned(),
            redis_url: "unix:///nonexistent/redis.sock".to_owned(),
            // Port 1 is unused.
            backend_port: 1,
            instance: Some("<shop>".to_owned()),
            ..Settings::default()
        };
        let store = Store::new(&settings).unwrap();
        let router = router(Dashboard { store, settings: CurrentSettings::fixed(settings) });
        let request = request.header("host", "127.0.0.1:26700").body(Body::empty()).unwrap();
        let (head, body) = router.oneshot(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        (head.status, head.headers, String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn the_sign_in_page_needs_no_database_and_shows_how_to_sign_in() {
        let (status, headers, page) = answer(Request::get("/handler/sign-in")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains(local_admin::EMAIL) && page.contains(local_admin::PASSWORD));
        assert!(headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(headers[header::CACHE_CONTROL], "no-store");
    }

    #[tokio::test]
    async fn what_comes_from_outside_is_escaped() {
        let (_, _, page) = answer(Request::get("/handler/sign-in")).await;
        assert!(page.contains("&#60;shop&#62;") && !page.contains("<shop>"), "{page}");
    }

    #[tokio::test]
    async fn no_page_has_a_script_or_a_style_of_its_own() {
        for path in ["/handler/sign-in", "/status", "/nowhere"] {
            let (_, _, page) = answer(Request::get(path)).await;
            for forbidden in ["<script", "<style", " style=", " onclick"] {
                assert!(!page.contains(forbidden), "{path} has `{forbidden}`");
            }
        }
    }

    #[tokio::test]
    async fn without_a_session_every_page_leads_to_the_sign_in() {
        for path in ["/projects", "/projects/internal", "/projects/internal/keys", "/projects/internal/users"]
        {
            let (status, headers, _) = answer(Request::get(path)).await;
            assert_eq!(status, StatusCode::SEE_OTHER, "{path}");
            assert_eq!(headers[header::LOCATION], "/handler/sign-in", "{path}");
        }
    }

    #[tokio::test]
    async fn the_status_page_works_when_nothing_else_does() {
        let (status, _, page) =
            answer(Request::get("/status").header("cookie", "stack-session-26700=stale")).await;
        assert_eq!(status, StatusCode::OK);
        assert!(page.contains("4 of 4 services are failing"), "{page}");
        for service in ["backend", "postgres", "redis", "cron"] {
            assert!(
                page.contains(&format!(r#"data-service="{service}" data-state="failing""#)),
                "{service}: {page}"
            );
        }
    }

    #[tokio::test]
    async fn a_session_that_cannot_be_looked_up_is_an_error_and_not_a_sign_out() {
        let (status, headers, page) =
            answer(Request::get("/projects").header("cookie", "stack-session-26700=x")).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(headers.get(header::SET_COOKIE).is_none());
        assert!(page.contains("The database did not answer"), "{page}");
    }
}
