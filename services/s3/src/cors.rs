//! Pages of other origins: a browser lets them see what the rules of a bucket allow.

use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::{IntoResponse as _, Response},
};
use percent_encoding::percent_decode_str;
use s3s::dto::{CORSConfiguration, CORSRule};

use crate::{api::Api, host, policy::is_like};

/// What an answer says to a browser.
pub(crate) struct Allowed {
    rule: CORSRule,
    origin: HeaderValue,
    headers: Option<HeaderValue>,
}

/// Finds the rule for a request of a page of another origin.
pub(crate) async fn allowed(api: &Api, request: &Parts) -> Option<Allowed> {
    let headers = &request.headers;
    let origin = headers.get(header::ORIGIN)?.clone();
    let bucket = bucket_of(headers, request.uri.path())?;
    let rules: Option<CORSConfiguration> = api.rules.value(&api.database, &bucket, "cors").await.ok()?;
    let asked = headers.get(header::ACCESS_CONTROL_REQUEST_METHOD).and_then(|method| method.to_str().ok());
    let method =
        if request.method == Method::OPTIONS { asked? } else { asked.unwrap_or(request.method.as_str()) };
    let wanted = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    let wanted_text = wanted.as_ref().and_then(|wanted| wanted.to_str().ok()).unwrap_or_default().to_owned();
    let origin_text = origin.to_str().ok()?;
    let rule = rules?.cors_rules.into_iter().find(|rule| allows(rule, origin_text, method, &wanted_text))?;
    Some(Allowed { rule, origin, headers: wanted })
}

fn allows(rule: &CORSRule, origin: &str, method: &str, wanted: &str) -> bool {
    let known = rule.allowed_headers.as_deref().unwrap_or_default();
    let mut wanted = wanted.split(',').map(str::trim).filter(|name| !name.is_empty());
    rule.allowed_origins.iter().any(|allowed| is_like(allowed, origin))
        && rule.allowed_methods.iter().any(|allowed| allowed == method)
        && wanted.all(|name| {
            known.iter().any(|allowed| is_like(&allowed.to_ascii_lowercase(), &name.to_ascii_lowercase()))
        })
}

/// The bucket of a request, by its host or its path.
fn bucket_of(headers: &HeaderMap, path: &str) -> Option<String> {
    let by_host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).and_then(host::bucket);
    let name = by_host.or_else(|| path.trim_start_matches('/').split('/').next())?;
    Some(percent_decode_str(name).decode_utf8().ok()?.into_owned())
}

impl Allowed {
    /// Adds the headers that say so.
    pub(crate) fn apply(&self, headers: &mut HeaderMap) {
        let everyone = self.rule.allowed_origins.iter().any(|origin| origin == "*");
        let origin = if everyone { HeaderValue::from_static("*") } else { self.origin.clone() };
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if !everyone {
            headers.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        }
        let mut list = |name: HeaderName, values: &[String]| {
            if let Ok(value) = HeaderValue::try_from(values.join(", "))
                && !values.is_empty()
            {
                headers.insert(name, value);
            }
        };
        list(header::ACCESS_CONTROL_ALLOW_METHODS, &self.rule.allowed_methods);
        list(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.rule.expose_headers.as_deref().unwrap_or_default());
        if let Some(wanted) = &self.headers {
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
        }
        if let Some(seconds) = self.rule.max_age_seconds {
            headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from(seconds));
        }
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
    }
}

/// Answers the question that a browser asks before a request.
pub(crate) async fn preflight(api: &Api, request: &Parts) -> Response {
    if [header::ORIGIN, header::ACCESS_CONTROL_REQUEST_METHOD]
        .iter()
        .any(|name| !request.headers.contains_key(name))
    {
        let reason = "the question is incomplete without `Origin` and `Access-Control-Request-Method`\n";
        return (StatusCode::BAD_REQUEST, reason).into_response();
    }
    match allowed(api, request).await {
        Some(allowed) => {
            let mut response = StatusCode::OK.into_response();
            allowed.apply(response.headers_mut());
            response
        }
        None => (StatusCode::FORBIDDEN, "no rule of the bucket allows this request\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(origins: &[&str], methods: &[&str], headers: &[&str]) -> CORSRule {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        CORSRule {
            allowed_headers: Some(owned(headers)),
            allowed_methods: owned(methods),
            allowed_origins: owned(origins),
            expose_headers: None,
            id: None,
            max_age_seconds: None,
        }
    }

    #[test]
    fn a_rule_allows_what_fits_all_of_it() {
        let rule =
            rule(&["https://*.shop.test", "http://localhost:3000"], &["PUT"], &["x-amz-*", "content-type"]);
        assert!(allows(&rule, "https://a.shop.test", "PUT", "Content-Type, x-amz-date"));
        assert!(allows(&rule, "http://localhost:3000", "PUT", ""));
        assert!(!allows(&rule, "http://localhost:3001", "PUT", ""));
        assert!(!allows(&rule, "http://localhost:3000", "GET", ""));
        assert!(!allows(&rule, "http://localhost:3000", "PUT", "authorization"));
    }
}
