//! Who is calling: keys, tokens and the cron secret, as extractors. A handler that asks for one is never reached without it.

use std::marker::PhantomData;

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, request::Parts},
};
use axum_extra::{
    TypedHeader,
    headers::{Authorization, authorization::Bearer},
};

use super::{Backend, error::ApiError};
use crate::store::{
    keys::{self, AccessType},
    projects, sessions,
    users::User,
};

pub(super) const PROJECT_ID: &str = "x-stack-project-id";
pub(super) const ACCESS_TYPE: &str = "x-stack-access-type";
pub(super) const ACCESS_TOKEN: &str = "x-stack-access-token";
pub(super) const REFRESH_TOKEN: &str = "x-stack-refresh-token";

/// The access that a route needs at least, as a type.
pub(super) trait Level {
    const NEEDED: AccessType;
}

/// Any of the three keys opens the route.
pub(super) struct Client;
/// The server's or the admin's key opens the route.
pub(super) struct Server;
/// Only the admin's key opens the route.
pub(super) struct Admin;

impl Level for Client {
    const NEEDED: AccessType = AccessType::Client;
}

impl Level for Server {
    const NEEDED: AccessType = AccessType::Server;
}

impl Level for Admin {
    const NEEDED: AccessType = AccessType::Admin;
}

/// The caller holds a key of this project that opens routes of level `L`.
pub(super) struct Access<L> {
    pub(super) project_id: String,
    level: PhantomData<L>,
}

impl<L: Level> FromRequestParts<Backend> for Access<L> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, backend: &Backend) -> Result<Self, ApiError> {
        let claim = Claim::read(&parts.headers)?;
        if !claim.holds(keys::of_project(&backend.store.database, claim.project_id).await?.as_ref()) {
            return Err(ApiError::KeyWrong {
                access_type: claim.access_type,
                project_id: claim.project_id.to_owned(),
            });
        }
        if claim.access_type < L::NEEDED {
            return Err(ApiError::AccessInsufficient { needed: L::NEEDED, given: claim.access_type });
        }
        Ok(Self { project_id: claim.project_id.to_owned(), level: PhantomData })
    }
}

/// The caller holds a key of the project `internal`.
pub(super) struct InternalClient;

impl FromRequestParts<Backend> for InternalClient {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, backend: &Backend) -> Result<Self, ApiError> {
        let access = Access::<Client>::from_request_parts(parts, backend).await?;
        if access.project_id == projects::INTERNAL { Ok(Self) } else { Err(ApiError::InternalProjectOnly) }
    }
}

/// The caller acts for this user of the project whose key it holds.
pub(super) struct SignedIn(pub(super) User);

impl FromRequestParts<Backend> for SignedIn {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, backend: &Backend) -> Result<Self, ApiError> {
        let access = Access::<Client>::from_request_parts(parts, backend).await?;
        let token = required(&parts.headers, ACCESS_TOKEN)?;
        sessions::user_of_access_token(&backend.store.database, &access.project_id, token)
            .await?
            .map(Self)
            .ok_or(ApiError::AccessTokenInvalid)
    }
}

/// The refresh token that the caller presents; the handler checks whether it is valid.
pub(super) struct RefreshToken(pub(super) String);

impl FromRequestParts<Backend> for RefreshToken {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &Backend) -> Result<Self, ApiError> {
        required(&parts.headers, REFRESH_TOKEN).map(|token| Self(token.to_owned()))
    }
}

/// The caller is the cron service.
pub(super) struct CronService;

impl FromRequestParts<Backend> for CronService {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, backend: &Backend) -> Result<Self, ApiError> {
        let bearer = TypedHeader::<Authorization<Bearer>>::from_request_parts(parts, backend).await;
        let settings = backend.settings.get();
        match (bearer, &settings.cron_secret) {
            (Ok(TypedHeader(presented)), Some(secret)) if secret.matches(presented.token()) => Ok(Self),
            _ => Err(ApiError::CronSecretWrong),
        }
    }
}

/// What a request's headers claim.
#[derive(Debug)]
struct Claim<'a> {
    project_id: &'a str,
    access_type: AccessType,
    key: &'a str,
}

impl<'a> Claim<'a> {
    fn read(headers: &'a HeaderMap) -> Result<Self, ApiError> {
        let project_id = required(headers, PROJECT_ID)?;
        let access_type: AccessType =
            required(headers, ACCESS_TYPE)?.parse().map_err(|_| ApiError::AccessTypeUnknown)?;
        let key = required(headers, access_type.key_header())?;
        Ok(Self { project_id, access_type, key })
    }

    /// A project that does not exist is answered like a wrong key: there is nothing to find out by trying.
    fn holds(&self, keys: Option<&keys::KeySet>) -> bool {
        keys.is_some_and(|keys| keys.key(self.access_type).matches(self.key))
    }
}

/// The value of a header; one that is not visible ASCII counts as missing.
fn required<'a>(headers: &'a HeaderMap, name: &'static str) -> Result<&'a str, ApiError> {
    headers.get(name).and_then(|value| value.to_str().ok()).ok_or(ApiError::HeaderMissing(name))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use protocol::Secret;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn keys() -> keys::KeySet {
        keys::KeySet {
            publishable_client: Secret::new("pck"),
            secret_server: Secret::new("ssk"),
            super_secret_admin: Secret::new("sak"),
        }
    }

    #[test]
    fn each_missing_header_is_named() {
        let complete =
            [(PROJECT_ID, "internal"), (ACCESS_TYPE, "server"), ("x-stack-secret-server-key", "ssk")];
        assert!(Claim::read(&headers(&complete)).is_ok());
        for left_out in 0..complete.len() {
            let mut rest = complete.to_vec();
            let (name, _) = rest.remove(left_out);
            let error = Claim::read(&headers(&rest)).unwrap_err();
            assert_eq!(error.to_string(), format!("the header `{name}` is missing"));
        }
    }

    #[test]
    fn the_key_of_another_access_type_is_not_accepted() {
        let headers =
            headers(&[(PROJECT_ID, "p"), (ACCESS_TYPE, "admin"), ("x-stack-secret-server-key", "ssk")]);
        let error = Claim::read(&headers).unwrap_err();
        assert_eq!(error.to_string(), "the header `x-stack-super-secret-admin-key` is missing");
    }

    #[test]
    fn an_unknown_access_type_is_refused() {
        let headers = headers(&[(PROJECT_ID, "p"), (ACCESS_TYPE, "root")]);
        assert!(matches!(Claim::read(&headers).unwrap_err(), ApiError::AccessTypeUnknown));
    }

    #[test]
    fn a_claim_holds_only_with_the_right_key_of_an_existing_project() {
        let claim = |key| Claim { project_id: "p", access_type: AccessType::Server, key };
        assert!(claim("ssk").holds(Some(&keys())));
        assert!(!claim("sak").holds(Some(&keys())));
        assert!(!claim("").holds(Some(&keys())));
        assert!(!claim("ssk").holds(None));
    }
}
