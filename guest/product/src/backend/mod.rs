//! The API.

mod access;
mod error;
mod extract;
mod routes;

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderName, Method, header},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use guest::{
    control::{Call, Order, Progress, Socket, not_taken},
    http_server::Service,
    service,
};
use service_kit::guard::{self, Foreign};
use tower_http::cors::{Any, CorsLayer};

use self::error::ApiError;
use crate::{
    request,
    settings::{CurrentSettings, SettingsError, has_reloaded},
    store::{Store, keys::AccessType, probe},
    warm_up,
};

/// No request of this API carries more than a few hundred bytes.
const MAX_BODY_BYTES: usize = 64 * 1024;
/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_LIFETIME: Duration = Duration::from_mins(10);

/// What every handler can reach.
#[derive(Clone)]
pub(crate) struct Backend {
    store: Store,
    settings: CurrentSettings,
}

/// Runs the backend until it is stopped.
pub(crate) fn run() -> anyhow::Result<()> {
    service::start_logging();
    let control = Socket::bind()?;
    let settings = CurrentSettings::load()?;
    let port = settings.get().backend_port;
    let store = Store::new(&settings.get())?.with_probe_apart(&settings.get())?;
    let backend = Backend { store, settings };
    service::run(async {
        let listener = service::bind(port)?;
        let reload = async || has_reloaded(reload(&backend));
        let carry_out = async |call| carry_out(call, &backend).await;
        let service = Service { router: router(backend.clone()), busy: || ApiError::TooBusy.into_response() };
        service::serve(listener, service, control, reload, carry_out).await
    })?
}

/// Reads changed settings, and forgets pooled connections. The next request opens a new one, or the order to settle: a start waits for
/// neither.
fn reload(backend: &Backend) -> Result<(), SettingsError> {
    backend.store.renew();
    backend.settings.reload()
}

async fn carry_out(call: Call, backend: &Backend) {
    let result = match call.order {
        Order::Reload => reload(backend).map(|()| Progress::Done).map_err(Into::into),
        Order::Drain => {
            backend.store.drain();
            Ok(Progress::Done)
        }
        Order::Rehearse => {
            let store = backend.store.clone();
            // The health check reports what is wrong.
            tokio::spawn(async move { tokio::join!(probe::postgres(&store), probe::redis(&store)) });
            Ok(Progress::Done)
        }
        Order::Settle => {
            backend.store.prewarm();
            Ok(Progress::Done)
        }
        // Requests to this service itself, which has to keep answering.
        Order::WarmUp => {
            tokio::spawn(async move { call.answer(warm_up::quietly().await.map(|()| Progress::Done)).await });
            return;
        }
        order @ (Order::Renew | Order::Flush) => Err(not_taken(order)),
    };
    call.answer(result).await;
}

fn router(backend: Backend) -> Router {
    // Before the layer, so that a preflight, which no route has a method for, gets the layer's answer.
    let public = routes::public()
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(middleware::from_fn(within_limits));
    let internal = routes::internal()
        .method_not_allowed_fallback(method_not_allowed)
        .route_layer(middleware::from_fn(within_limits))
        .route_layer(middleware::from_fn_with_state(backend.clone(), only_programs));
    public
        // Frontends on other origins call these. They authenticate by headers and never by cookies, so that any origin
        // may call them; the internal routes are for programs, and no page of any origin can call them.
        .layer(cross_origin())
        .merge(internal)
        .fallback(async || ApiError::RouteNotFound)
        .with_state(backend)
}

async fn within_limits(request: Request, next: Next) -> Result<Response, ApiError> {
    Ok(request::answer(request, MAX_BODY_BYTES, next).await?)
}

/// No page can call the internal routes, not even one that points its own name at 127.0.0.1: while keys are placeholders, it would
/// know them.
async fn only_programs(State(backend): State<Backend>, request: Request, next: Next) -> Response {
    match guard::check(request.method(), request.headers(), Some(&backend.settings.get().backend_url)) {
        Ok(()) => next.run(request).await,
        Err(Foreign::Host) => ApiError::ForeignHost.into_response(),
        Err(Foreign::Origin) => ApiError::ForeignOrigin.into_response(),
    }
}

async fn method_not_allowed() -> ApiError {
    ApiError::MethodNotAllowed
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

#[cfg(test)]
mod tests {
    use axum::{
        body::Body,
        http::{HeaderValue, Request, StatusCode},
    };
    use http_body_util::BodyExt as _;
    use protocol::Secret;
    use tower::ServiceExt as _;

    use super::*;
    use crate::settings::Settings;

    /// A backend whose PostgreSQL and Redis are nowhere.
    fn lonely_router() -> Router {
        let settings = Settings {
            database_url: "host=/nonexistent user=stack".to_owned(),
            redis_url: "unix:///nonexistent/redis.sock".to_owned(),
            cron_secret: Some(Secret::new("s3cret")),
            ..Settings::default()
        };
        let store = Store::new(&settings).unwrap();
        router(Backend { store, settings: CurrentSettings::fixed(settings) })
    }

    async fn answer(request: axum::http::request::Builder) -> Response<Body> {
        let mut request = request.body(Body::empty()).unwrap();
        request.headers_mut().entry(header::HOST).or_insert(HeaderValue::from_static("127.0.0.1:26701"));
        lonely_router().oneshot(request).await.unwrap()
    }

    async fn shown(request: axum::http::request::Builder) -> String {
        let answer = answer(request).await;
        let status = answer.status().as_u16();
        format!(
            "{status} {}",
            String::from_utf8_lossy(&answer.into_body().collect().await.unwrap().to_bytes())
        )
    }

    #[tokio::test]
    async fn what_does_not_exist_is_answered_in_json() {
        insta::assert_snapshot!(shown(Request::get("/nowhere")).await, @r#"404 {"code":"ROUTE_NOT_FOUND","error":"there is nothing at this address"}"#);
        insta::assert_snapshot!(shown(Request::put("/health")).await, @r#"405 {"code":"METHOD_NOT_ALLOWED","error":"this address does not answer to this method"}"#);
    }

    #[tokio::test]
    async fn alive_and_able_to_work_are_two_questions() {
        insta::assert_snapshot!(shown(Request::get("/health")).await, @r#"200 {"status":"ok"}"#);
        let shown = shown(Request::get("/health?db=1")).await;
        let reasons = "PostgreSQL cannot be reached: error connecting to server: No such file or directory (os error 2); \
                       Redis does not answer: No such file or directory (os error 2)";
        let expected = format!(r#"503 {{"status":"unhealthy","code":"UNHEALTHY","error":"{reasons}""#);
        assert!(shown.starts_with(&expected), "{shown}");
    }

    #[tokio::test]
    async fn every_answer_that_is_503_says_when_to_ask_again() {
        let cron = Request::post("/api/v1/internal/cron/delete-expired-sessions");
        for request in [Request::get("/health?db=1"), cron.header("authorization", "Bearer s3cret")] {
            let answer = answer(request).await;
            assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
        }
        let healthy = answer(Request::get("/health")).await;
        assert!(!healthy.headers().contains_key(header::RETRY_AFTER));
    }

    #[tokio::test]
    async fn the_cron_secret_is_checked_before_anything_else() {
        let path = "/api/v1/internal/cron/delete-expired-sessions";
        for header in ["", "s3cret", "Bearer ", "Bearer s3crets", "Basic s3cret"] {
            let shown = shown(Request::post(path).header("authorization", header)).await;
            assert!(shown.starts_with("401 "), "`{header}`: {shown}");
        }
        let shown = shown(Request::post(path).header("authorization", "Bearer s3cret")).await;
        assert!(shown.starts_with("503 "), "past the check there is no database: {shown}");
    }

    #[tokio::test]
    async fn no_internal_route_answers_to_a_page_by_any_host_name() {
        for path in
            ["/api/v1/internal/local-emulator/project", "/api/v1/internal/cron/delete-expired-sessions"]
        {
            let shown_with = async |name: &str, value: &str| {
                shown(Request::post(path).header("authorization", "Bearer s3cret").header(name, value)).await
            };
            for host in ["evil.example:26701", "localhost.evil.example", "127.0.0.1.evil.example"] {
                let shown = shown_with("host", host).await;
                assert!(shown.starts_with(r#"421 {"code":"FOREIGN_HOST""#), "{path} as {host}: {shown}");
            }
            for (name, value) in [
                ("origin", "http://localhost:3000"),
                ("origin", "http://127.0.0.1:26700"),
                ("origin", "null"),
                ("sec-fetch-site", "same-site"),
                ("sec-fetch-site", "cross-site"),
            ] {
                let shown = shown_with(name, value).await;
                assert!(
                    shown.starts_with(r#"403 {"code":"FOREIGN_ORIGIN""#),
                    "{path}, {name}: {value}: {shown}"
                );
            }
            for host in ["127.0.0.1:8102", "10.0.2.15:8102", "localhost:26701", "[::1]:26701"] {
                let shown = shown_with("host", host).await;
                assert!(!shown.contains("FOREIGN"), "{path} as {host}: {shown}");
            }
        }
    }

    #[tokio::test]
    async fn public_routes_answer_by_any_name() {
        assert!(shown(Request::get("/health").header("host", "emulator:8102")).await.starts_with("200 "));
    }

    #[tokio::test]
    async fn pages_of_other_origins_may_call_the_public_routes_and_no_internal_one() {
        let preflight = async |path| {
            let request = Request::options(path)
                .header("origin", "http://localhost:3000")
                .header("access-control-request-method", "POST")
                .header("access-control-request-headers", access::PROJECT_ID);
            answer(request).await.headers().get("access-control-allow-origin").cloned()
        };
        assert_eq!(preflight("/api/v1/auth/password/sign-in").await.unwrap(), "*");
        assert_eq!(preflight("/api/v1/internal/local-emulator/project").await, None);
    }
}
