//! The cookie that keeps the local admin signed in.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use axum_extra::extract::{
    CookieJar,
    cookie::{Cookie, SameSite},
};
use protocol::Secret;
use service_kit::guard;

use super::{Dashboard, error::PageError};
use crate::store::{projects, sessions, users::User};

/// The visitor is signed in and may use the dashboard. Otherwise a page leads to the sign-in.
pub(super) struct Admin(pub(super) User);

impl FromRequestParts<Dashboard> for Admin {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, PageError> {
        MaybeAdmin::from_request_parts(parts, dashboard).await?.0.map(Self).ok_or(PageError::NotSignedIn)
    }
}

/// The visitor, if signed in. Without a cookie the database is not queried.
pub(super) struct MaybeAdmin(pub(super) Option<User>);

impl FromRequestParts<Dashboard> for MaybeAdmin {
    type Rejection = PageError;

    async fn from_request_parts(parts: &mut Parts, dashboard: &Dashboard) -> Result<Self, PageError> {
        let Some(token) = token(&parts.headers) else { return Ok(Self(None)) };
        let user =
            sessions::user_of_refresh_token(&dashboard.store.database, projects::INTERNAL, token.reveal())
                .await?;
        Ok(Self(user.filter(|user| user.is_dashboard_admin)))
    }
}

/// The session's token out of the visitor's cookie.
pub(super) fn token(headers: &HeaderMap) -> Option<Secret> {
    CookieJar::from_headers(headers).get(&cookie_name(headers)).map(|cookie| Secret::new(cookie.value()))
}

/// The cookie for a session.
pub(super) fn cookie(headers: &HeaderMap, token: &Secret) -> Cookie<'static> {
    Cookie::build((cookie_name(headers), token.reveal().to_owned()))
        .http_only(true)
        .same_site(SameSite::Strict)
        .path("/")
        .max_age(sessions::SESSION_LIFETIME)
        .build()
}

/// The cookie that replaces a session's and expires at once.
pub(super) fn expired_cookie(headers: &HeaderMap) -> Cookie<'static> {
    let mut cookie = Cookie::build((cookie_name(headers), "")).path("/").build();
    cookie.make_removal();
    cookie
}

/// Browsers share cookies between the ports of a host: with the port in its name, two instances do not sign each other out.
fn cookie_name(headers: &HeaderMap) -> String {
    let port = guard::host(headers).and_then(|host| host.port_u16()).unwrap_or(80);
    format!("stack-session-{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_cookie_is_kept_from_scripts_and_other_sites() {
        let cookie = cookie(&headers(&[("host", "127.0.0.1:26700")]), &Secret::new("t0ken"));
        insta::assert_snapshot!(
            cookie.to_string(),
            @"stack-session-26700=t0ken; HttpOnly; SameSite=Strict; Path=/; Max-Age=2592000"
        );
    }

    #[test]
    fn each_port_has_its_own_session() {
        let cookies = ("cookie", "stack-session-26700=one; stack-session-26800=two");
        let of = |host| token(&headers(&[("host", host), cookies])).map(|token| token.reveal().to_owned());
        assert_eq!(of("127.0.0.1:26700").as_deref(), Some("one"));
        assert_eq!(of("127.0.0.1:26800").as_deref(), Some("two"));
        assert_eq!(of("127.0.0.1:26900"), None);
    }
}
