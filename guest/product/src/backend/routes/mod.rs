//! The routes and their handlers.

mod auth;
mod cron;
mod health;
mod local_emulator;
mod projects;
mod users;

use axum::{
    Router,
    routing::{delete, get, post},
};

use super::Backend;

/// The routes that applications call.
pub(super) fn public() -> Router<Backend> {
    Router::new()
        .route("/health", get(health::health))
        .route("/api/v1/auth/password/sign-up", post(auth::sign_up))
        .route("/api/v1/auth/password/sign-in", post(auth::sign_in))
        .route("/api/v1/auth/sessions/current/refresh", post(auth::refresh))
        .route("/api/v1/auth/sessions/current", delete(auth::sign_out))
        .route("/api/v1/users/me", get(users::me))
        .route("/api/v1/users", get(users::list).post(users::create))
        .route("/api/v1/users/{user_id}", get(users::read).patch(users::update).delete(users::delete))
        .route("/api/v1/projects/current", get(projects::read).delete(projects::delete))
}

/// The routes that the stack's own tools and services call.
pub(super) fn internal() -> Router<Backend> {
    Router::new()
        .route("/api/v1/internal/local-emulator/project", post(local_emulator::project))
        .route("/api/v1/internal/cron/delete-expired-sessions", post(cron::delete_expired_sessions))
}
