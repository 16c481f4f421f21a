//! Turns away requests that another site made in the visitor's browser: from pages, and from routes that are for programs.
//!
//! `SameSite` cookies are not enough on a developer's machine: sites ignore ports, so that any page served from another port of
//! 127.0.0.1 is the same *site* as the dashboard. What tells them apart is the *origin*, which browsers state in
//! `Sec-Fetch-Site` and `Origin`. And since the local admin's password is public, a page that points its own name at 127.0.0.1
//! (DNS rebinding) could sign itself in, and while keys are placeholders, it would know any project's: so the `Host` must be a name
//! that cannot be rebound. It is the only header that reveals such a page: the browser takes it for the same origin.

use std::net::IpAddr;

use axum::http::{HeaderMap, Method, header, uri::Authority};

const SEC_FETCH_SITE: &str = "sec-fetch-site";

/// Why a request is turned away.
#[derive(Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It was sent to a name that may belong to another site.
    Host,
    /// A page of another origin made it.
    Origin,
}

/// Whether a request is allowed to a service that may be known as `own_url` too.
///
/// # Errors
/// When it is not.
pub fn check(method: &Method, headers: &HeaderMap, own_url: Option<&str>) -> Result<(), Foreign> {
    let host = host(headers).ok_or(Foreign::Host)?;
    if !is_unreboundable(host.host()) && !own_url.is_some_and(|url| is_host_of(url, host.host())) {
        return Err(Foreign::Host);
    }
    if method.is_safe() || is_same_origin(headers, &host) { Ok(()) } else { Err(Foreign::Origin) }
}

/// The authority that the request was sent to.
pub fn host(headers: &HeaderMap) -> Option<Authority> {
    headers.get(header::HOST)?.to_str().ok()?.parse().ok()
}

/// Whether no name server can make this name another machine's: addresses, and the names that are always this machine.
fn is_unreboundable(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok() || host == "localhost" || host.ends_with(".localhost")
}

fn is_host_of(url: &str, host: &str) -> bool {
    url.parse::<axum::http::Uri>().is_ok_and(|url| url.host() == Some(host))
}

/// Whether the page that made the request is one of ours. A request with neither header is not a browser's, and carries no
/// cookie that another site's page could have used.
fn is_same_origin(headers: &HeaderMap, host: &Authority) -> bool {
    if let Some(site) = headers.get(SEC_FETCH_SITE) {
        return site == "same-origin" || site == "none";
    }
    match headers.get(header::ORIGIN) {
        None => true,
        Some(origin) => origin.to_str().is_ok_and(|origin| origin == format!("http://{host}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(method: &Method, pairs: &[(&str, &'static str)]) -> Result<(), Foreign> {
        let headers =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        check(method, &headers, Some("http://stack.test:26700"))
    }

    #[test]
    fn a_form_of_our_own_page_passes() {
        let host = ("host", "127.0.0.1:26700");
        assert_eq!(judged(&Method::POST, &[host, ("sec-fetch-site", "same-origin")]), Ok(()));
        assert_eq!(judged(&Method::POST, &[host, ("origin", "http://127.0.0.1:26700")]), Ok(()));
        assert_eq!(judged(&Method::POST, &[host]), Ok(()), "not a browser");
    }

    #[test]
    fn a_form_of_a_page_on_another_port_is_refused() {
        let host = ("host", "127.0.0.1:26700");
        for origin in [
            ("sec-fetch-site", "same-site"),
            ("sec-fetch-site", "cross-site"),
            ("origin", "http://127.0.0.1:3000"),
            ("origin", "null"),
        ] {
            assert_eq!(judged(&Method::POST, &[host, origin]), Err(Foreign::Origin), "{origin:?}");
        }
    }

    #[test]
    fn following_a_link_from_anywhere_is_allowed() {
        assert_eq!(
            judged(&Method::GET, &[("host", "localhost:26700"), ("sec-fetch-site", "cross-site")]),
            Ok(())
        );
    }

    #[test]
    fn only_hosts_that_cannot_be_rebound_are_served() {
        for host in [
            "127.0.0.1:26700",
            "10.0.2.15:8101",
            "[::1]:26700",
            "localhost",
            "shop.localhost:1",
            "stack.test:26700",
        ] {
            assert_eq!(judged(&Method::GET, &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["evil.example:26700", "localhost.evil.example", "127.0.0.1.evil.example"] {
            assert_eq!(judged(&Method::GET, &[("host", host)]), Err(Foreign::Host), "{host}");
        }
        assert_eq!(judged(&Method::GET, &[]), Err(Foreign::Host), "no host at all");
    }
}
