//! The REST API: who may ask, and which address leads where.

use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch};

use crate::fault::{message, rate_limited};
use crate::state::Repo;
use crate::{Guard, Shared, read, write};

/// When anonymous requests are allowed again after the last one.
const ANONYMOUS_RESET: Duration = Duration::from_mins(30);

/// Every address of the API.
pub(crate) fn routes() -> Router<Shared> {
    let repo = Router::new()
        .route("/releases", get(read::releases).post(write::create_release))
        .route("/releases/tags/{tag}", get(read::release_by_tag))
        .route("/releases/{id}", get(read::release).patch(write::update_release))
        .route("/releases/{id}/assets", get(read::assets).post(write::upload))
        .route(
            "/releases/assets/{id}",
            get(read::asset).patch(write::update_asset).delete(write::delete_asset),
        )
        .route("/git/ref/tags/{tag}", get(write::tag))
        .route("/git/refs/tags/{tag}", patch(write::move_tag))
        .route("/compare/{commits}", get(read::comparison))
        .route("/pulls/{number}", get(read::pull))
        .route("/actions/runs", get(read::runs))
        .route("/actions/runs/{id}", get(read::run))
        .route("/actions/runs/{id}/artifacts", get(read::artifacts))
        .route("/actions/artifacts/{id}/zip", get(read::archive));
    Router::new()
        .route("/repos/{owner}/{repo}", get(read::repo))
        .nest("/repos/{owner}/{repo}", repo)
        .route("/repositories/{id}", get(read::numbered_repo))
        .fallback(|| async { not_found() })
}

/// Who asks, once that is known to be allowed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Caller {
    /// Whether there was a token.
    pub(crate) known: bool,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let mut world = shared.world();
        let given = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let Some(given) = given else {
            return match &mut world.anonymous_left {
                Some(0) => Err(rate_limited(403, ANONYMOUS_RESET, false)),
                Some(left) => {
                    *left -= 1;
                    Ok(Self { known: false })
                }
                None => Ok(Self { known: false }),
            };
        };
        let token = given.split_once(' ').map(|(_, token)| token);
        if token.is_some_and(|token| world.tokens.contains(token)) {
            Ok(Self { known: true })
        } else {
            Err(message(401, "Bad credentials").into_response())
        }
    }
}

/// The repository `owner/name`, if the caller may see it.
pub(crate) fn visible<'a>(world: &'a Guard<'_>, caller: Caller, owner: &str, name: &str) -> Option<&'a Repo> {
    world.repos.get(&format!("{owner}/{name}")).filter(|repo| caller.known || !repo.private)
}

/// What is not there, or hidden.
pub(crate) fn not_found() -> Response {
    message(404, "Not Found").into_response()
}
