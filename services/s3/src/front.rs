//! What stands before the protocol: the health path, and browsers that ask for permission.

use std::sync::Arc;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::get,
};
use guest::http_server;
use s3s::{
    config::{S3Config, StaticConfigProvider},
    service::{S3Service, S3ServiceBuilder},
};
use service_kit::health;
use tracing::error;

use crate::{
    access::{Gate, Keys},
    api::{Api, Handle},
    cors,
    host::Hosts,
    part, store,
};

/// The largest content of a form, in bytes: crate `s3s` holds it in memory.
const LARGEST_FORM: u64 = 64 << 20;

/// No document of an error is larger, in bytes.
const LARGEST_ERROR: usize = 64 << 10;

#[derive(Clone)]
struct Front {
    api: Arc<Api>,
    s3: S3Service,
}

/// All that the service answers.
pub(crate) fn answers(api: &Arc<Api>) -> http_server::Service {
    let mut builder = S3ServiceBuilder::new(Handle(Arc::clone(api)));
    builder.set_auth(Keys(Arc::clone(api)));
    builder.set_access(Gate(Arc::clone(api)));
    builder.set_host(Hosts);
    let mut config = S3Config::default();
    config.post_object_max_file_size = LARGEST_FORM;
    builder.set_config(Arc::new(StaticConfigProvider::new(Arc::new(config))));
    let front = Front { api: Arc::clone(api), s3: builder.build() };
    let router = Router::new().route(health::PATH, get(check)).fallback(answer).with_state(front);
    http_server::Service { router, busy }
}

fn busy() -> Response {
    let body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>SlowDown</Code><Message>too many connections</Message></Error>";
    (
        StatusCode::SERVICE_UNAVAILABLE,
        [(header::CONTENT_TYPE, "application/xml"), (header::RETRY_AFTER, "1")],
        body,
    )
        .into_response()
}

async fn check(State(front): State<Front>) -> Response {
    health::answer(part::check(&front.api)).await
}

async fn answer(State(front): State<Front>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if head.method == Method::OPTIONS {
        return cors::preflight(&front.api, &head).await;
    }
    if let Some(region) = wrong_region(&head.headers) {
        return malformed(region, &front.api.settings().region);
    }
    let allowed = cors::allowed(&front.api, &head).await;
    let request = Request::from_parts(head, s3s::Body::http_body_unsync(body));
    let mut response = match front.s3.call(request).await {
        Ok(response) => response.map(Body::new),
        Err(failure) => {
            error!("an answer could not be written: {failure:?}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    };
    let id = store::fresh_id();
    if response.status().is_client_error() || response.status().is_server_error() {
        response = numbered(response, &id).await;
    }
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(HeaderName::from_static("x-amz-request-id"), id);
    }
    if let Some(allowed) = allowed {
        allowed.apply(response.headers_mut());
    }
    response
}

/// The region of a signature, if it cannot be the name of one. Some clients begin with another word, and correct themselves by the answer.
fn wrong_region(headers: &HeaderMap) -> Option<&str> {
    let credential = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split("Credential=").nth(1)?;
    let region = credential.split('/').nth(2)?;
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (!region.is_empty() && !region.bytes().all(is_name)).then_some(region)
}

fn malformed(region: &str, expected: &str) -> Response {
    // A header has none of the characters that would have to be escaped but these.
    let region = region.replace('&', "&amp;").replace('<', "&lt;");
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>AuthorizationHeaderMalformed</Code>\
         <Message>The authorization header is malformed; the region '{region}' is wrong; expecting '{expected}'</Message>\
         <Region>{expected}</Region></Error>"
    );
    (StatusCode::BAD_REQUEST, [(header::CONTENT_TYPE, "application/xml")], body).into_response()
}

/// Puts the number of the request into the document of an error, which crate `s3s` leaves to its user.
async fn numbered(response: Response, id: &str) -> Response {
    let (mut head, body) = response.into_parts();
    let Ok(document) = to_bytes(body, LARGEST_ERROR).await else {
        return Response::from_parts(head, Body::empty());
    };
    let text = String::from_utf8_lossy(&document);
    let Some(start) = text.strip_suffix("</Error>") else {
        return Response::from_parts(head, Body::from(document));
    };
    head.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(head, Body::from(format!("{start}<RequestId>{id}</RequestId></Error>")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_for_no_region_is_answered_with_the_right_one() {
        let wrong = |region: &str| {
            let value =
                format!("AWS4-HMAC-SHA256 Credential=key/20260101/{region}/s3/aws4_request, Signature=0");
            let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
            wrong_region(&headers).map(str::to_owned)
        };
        assert_eq!(wrong("US").as_deref(), Some("US"));
        assert_eq!(wrong("eu-west-1"), None);
    }
}
