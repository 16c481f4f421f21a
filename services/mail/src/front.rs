//! What the service answers over HTTP: REST for programs, pages for people, and the health path.

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::Method,
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
    routing::get,
};
use guest::http_server;
use service_kit::{guard, health};
use tokio::time::timeout;

use crate::{
    failure::{DEADLINE, Failure},
    inbox::Inbox,
    pages, part, rest,
};

/// No request has more than a few words in its body.
const BODY_BYTES: usize = 16 << 10;

/// All that the service answers.
pub(crate) fn answers(inbox: &Arc<Inbox>) -> http_server::Service {
    let router = Router::new()
        .merge(rest::routes())
        .merge(pages::routes())
        .fallback(async || Failure::NotFound)
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(guarded))
        .route(health::PATH, get(check))
        .with_state(Arc::clone(inbox));
    http_server::Service { router, busy: || Failure::Busy.into_response() }
}

async fn check(State(inbox): State<Arc<Inbox>>) -> Response {
    health::answer(part::check(&inbox)).await
}

/// Turns away what pages of other sites ask for, and what takes too long.
async fn guarded(request: Request, next: Next) -> Result<Response, Failure> {
    // A page of any site may open a web socket, and read all that comes.
    let is_socket = request.headers().contains_key("sec-websocket-key");
    let method = if is_socket { &Method::POST } else { request.method() };
    guard::check(method, request.headers(), None).map_err(|_| Failure::Foreign)?;
    timeout(DEADLINE, next.run(request)).await.map_err(|_| Failure::Busy)
}
