//! The backend's API, from the creation of a project to its deletion.

use anyhow::{Context as _, ensure};
use axum::http::{Method, StatusCode};
use guest::http_client::{Answer, Parts};
use protocol::Secret;
use serde_json::{Value, json};

use super::{Outcome, Project, Services};
use crate::store::keys::{AccessType, KeySet};

/// A path that no developer has, for a project that is deleted in the end.
const CONFIG_FILE: &str = "/var/lib/stack/checks/stack.config.json";
const EMAIL: &str = "ada@example.com";
const PASSWORD: &str = "correct horse battery";

/// Every endpoint once, in an order in which each finds what it needs. While a password is hashed, which keeps one processor busy for a
/// while, others have their turn on another.
pub(crate) async fn every_endpoint(services: &Services, outcome: &mut Outcome) {
    let project = make_project(services, CONFIG_FILE);
    let Some(project) = outcome.check("project of a configuration file", project).await else {
        return without_project(services, outcome).await;
    };
    let mut others = outcome.sibling();
    tokio::join!(first_visit(services, &project, outcome), without_project(services, &mut others));
    tokio::join!(
        second_visit(services, &project, outcome),
        others.check("users by the server's key", users(services, &project))
    );
    outcome.add(others);
    outcome.check("deletion of the project", delete_project(services, &project)).await;
}

async fn without_project(services: &Services, outcome: &mut Outcome) {
    outcome.check("health", health(services, "/health")).await;
    outcome.check("health of the database", health(services, "/health?db=1")).await;
    outcome.check("the internal project", current_project(services, &services.internal)).await;
    outcome.check("periodic task", periodic_task(services)).await;
}

async fn first_visit(services: &Services, project: &Project, outcome: &mut Outcome) {
    if let Some(tokens) = outcome.check("sign-up", sign_up(services, project)).await {
        outcome.check("the signed-in user", signed_in_user(services, project, &tokens)).await;
    }
}

async fn second_visit(services: &Services, project: &Project, outcome: &mut Outcome) {
    if let Some(tokens) = outcome.check("sign-in", sign_in(services, project)).await {
        outcome.check("refresh and sign-out", refresh_and_sign_out(services, project, &tokens)).await;
    }
}

/// What must be refused is refused, each for its own reason.
pub(crate) async fn refusals(services: &Services, outcome: &mut Outcome) {
    outcome.check("wrong and missing keys are refused", wrong_keys(services)).await;
    outcome.check("a wrong cron secret is refused", wrong_cron_secret(services)).await;
    outcome.check("a wrong password is refused", wrong_password(services)).await;
    outcome.check("an unknown address answers in JSON", unknown_address(services)).await;
}

/// Creates a project to test with, or finds the one that an interrupted run left behind.
pub(crate) async fn make_project(services: &Services, config_file: &str) -> anyhow::Result<Project> {
    let request =
        || services.internal.with_key(AccessType::Client).json(&json!({"absolute_file_path": config_file}));
    let path = "/api/v1/internal/local-emulator/project";
    let first = services.backend.expect(StatusCode::OK, Method::POST, path, request()).await?.json();
    let second = services.backend.expect(StatusCode::OK, Method::POST, path, request()).await?.json();
    ensure!(first == second, "the same file gave two projects");
    let text = |field: &str| text(&first, field);
    Ok(Project {
        id: text("project_id")?,
        keys: KeySet {
            publishable_client: Secret::new(text("publishable_client_key")?),
            secret_server: Secret::new(text("secret_server_key")?),
            super_secret_admin: Secret::new(text("super_secret_admin_key")?),
        },
    })
}

pub(crate) async fn delete_project(services: &Services, project: &Project) -> anyhow::Result<()> {
    let request = project.with_key(AccessType::Admin);
    let path = "/api/v1/projects/current";
    services.backend.expect(StatusCode::NO_CONTENT, Method::DELETE, path, request).await?;
    Ok(())
}

/// The tokens of a session.
struct Tokens {
    access: String,
    refresh: String,
}

impl Tokens {
    fn of(answer: &Answer) -> anyhow::Result<Self> {
        let body = answer.json();
        Ok(Self { access: text(&body, "access_token")?, refresh: text(&body, "refresh_token")? })
    }
}

async fn health(services: &Services, path: &str) -> anyhow::Result<()> {
    let answer = services.backend.expect(StatusCode::OK, Method::GET, path, Parts::new()).await?;
    ensure!(answer.json()["status"] == "ok", "healthy and yet: {}", answer.text());
    Ok(())
}

async fn current_project(services: &Services, project: &Project) -> anyhow::Result<()> {
    for access_type in [AccessType::Client, AccessType::Server, AccessType::Admin] {
        let request = project.with_key(access_type);
        let path = "/api/v1/projects/current";
        let answer = services.backend.expect(StatusCode::OK, Method::GET, path, request).await?;
        ensure!(answer.json()["id"] == *project.id, "another project: {}", answer.text());
    }
    Ok(())
}

async fn periodic_task(services: &Services) -> anyhow::Result<()> {
    let request = Parts::new().header("authorization", format!("Bearer {}", services.cron_secret.reveal()));
    let path = "/api/v1/internal/cron/delete-expired-sessions";
    services.backend.expect(StatusCode::OK, Method::POST, path, request).await?;
    Ok(())
}

async fn sign_up(services: &Services, project: &Project) -> anyhow::Result<Tokens> {
    let body = json!({"email": EMAIL, "password": PASSWORD, "display_name": "Ada"});
    let request = project.with_key(AccessType::Client).json(&body);
    let path = "/api/v1/auth/password/sign-up";
    Tokens::of(&services.backend.expect(StatusCode::CREATED, Method::POST, path, request).await?)
}

async fn sign_in(services: &Services, project: &Project) -> anyhow::Result<Tokens> {
    let request = project.with_key(AccessType::Client).json(&json!({"email": EMAIL, "password": PASSWORD}));
    let path = "/api/v1/auth/password/sign-in";
    Tokens::of(&services.backend.expect(StatusCode::OK, Method::POST, path, request).await?)
}

async fn signed_in_user(services: &Services, project: &Project, tokens: &Tokens) -> anyhow::Result<()> {
    let request = project.with_key(AccessType::Client).header("x-stack-access-token", &tokens.access);
    let answer = services.backend.expect(StatusCode::OK, Method::GET, "/api/v1/users/me", request).await?;
    ensure!(answer.json()["primary_email"] == EMAIL, "another user: {}", answer.text());
    Ok(())
}

async fn refresh_and_sign_out(services: &Services, project: &Project, tokens: &Tokens) -> anyhow::Result<()> {
    let with_token = || project.with_key(AccessType::Client).header("x-stack-refresh-token", &tokens.refresh);
    let refresh = "/api/v1/auth/sessions/current/refresh";
    let answer = services.backend.expect(StatusCode::OK, Method::POST, refresh, with_token()).await?;
    let access = text(&answer.json(), "access_token")?;
    ensure!(access != tokens.access, "the new access token is the old one");
    let session = "/api/v1/auth/sessions/current";
    services.backend.expect(StatusCode::NO_CONTENT, Method::DELETE, session, with_token()).await?;
    services.backend.expect(StatusCode::UNAUTHORIZED, Method::POST, refresh, with_token()).await?;
    let request = project.with_key(AccessType::Client).header("x-stack-access-token", access);
    services.backend.expect(StatusCode::UNAUTHORIZED, Method::GET, "/api/v1/users/me", request).await?;
    Ok(())
}

async fn users(services: &Services, project: &Project) -> anyhow::Result<()> {
    let backend = &services.backend;
    let request = || project.with_key(AccessType::Server);
    let body = json!({"primary_email": "grace@example.com"});
    let path = "/api/v1/users";
    let created = backend.expect(StatusCode::CREATED, Method::POST, path, request().json(&body)).await?;
    backend.expect(StatusCode::CONFLICT, Method::POST, path, request().json(&body)).await?;
    let user = format!("/api/v1/users/{}", text(&created.json(), "id")?);
    let change = request().json(&json!({"display_name": "Grace"}));
    backend.expect(StatusCode::OK, Method::PATCH, &user, change).await?;
    let read = backend.expect(StatusCode::OK, Method::GET, &user, request()).await?.json();
    ensure!(read["display_name"] == "Grace", "the change was lost: {read}");
    let page = backend.expect(StatusCode::OK, Method::GET, "/api/v1/users?limit=1", request()).await?.json();
    let cursor = text(&page["pagination"], "next_cursor")?;
    ensure!(page["items"][0]["id"] == read["id"], "the newest user is not the first: {page}");
    let next = format!("/api/v1/users?limit=1&cursor={cursor}");
    let page = backend.expect(StatusCode::OK, Method::GET, &next, request()).await?.json();
    ensure!(page["items"][0]["primary_email"] == EMAIL, "the second page is wrong: {page}");
    backend.expect(StatusCode::NO_CONTENT, Method::DELETE, &user, request()).await?;
    backend.expect(StatusCode::NOT_FOUND, Method::GET, &user, request()).await?;
    Ok(())
}

async fn wrong_keys(services: &Services) -> anyhow::Result<()> {
    let path = "/api/v1/projects/current";
    let refused = async |status, code: &str, request| -> anyhow::Result<()> {
        let answer = services.backend.expect(status, Method::GET, path, request).await?;
        ensure!(answer.json()["code"] == code, "refused for another reason than `{code}`: {}", answer.text());
        Ok(())
    };
    let unauthorized = StatusCode::UNAUTHORIZED;
    let internal = &services.internal;
    let other = "1".repeat(64);
    refused(unauthorized, "INVALID_PUBLISHABLE_CLIENT_KEY", internal.with(AccessType::Client, &other))
        .await?;
    refused(unauthorized, "INVALID_SECRET_SERVER_KEY", internal.with(AccessType::Server, &other)).await?;
    refused(unauthorized, "INVALID_SUPER_SECRET_ADMIN_KEY", internal.with(AccessType::Admin, &other)).await?;
    // A valid key in the header of another one.
    let client_key = internal.keys.key(AccessType::Client).reveal();
    refused(unauthorized, "INVALID_SECRET_SERVER_KEY", internal.with(AccessType::Server, client_key)).await?;
    refused(StatusCode::BAD_REQUEST, "HEADER_MISSING", Parts::new()).await?;
    let request = internal.with_key(AccessType::Client);
    services.backend.expect(StatusCode::FORBIDDEN, Method::GET, "/api/v1/users", request).await?;
    Ok(())
}

async fn wrong_cron_secret(services: &Services) -> anyhow::Result<()> {
    let path = "/api/v1/internal/cron/delete-expired-sessions";
    let wrong = Parts::new().header("authorization", format!("Bearer {}", "1".repeat(64)));
    services.backend.expect(StatusCode::UNAUTHORIZED, Method::POST, path, wrong).await?;
    services.backend.expect(StatusCode::UNAUTHORIZED, Method::POST, path, Parts::new()).await?;
    Ok(())
}

async fn wrong_password(services: &Services) -> anyhow::Result<()> {
    // Another address every time: a run soon after many others would be refused for too many attempts.
    let email = format!("{}@example.com", uuid::Uuid::new_v4());
    let body = json!({"email": email, "password": "not this one"});
    let request = services.internal.with_key(AccessType::Client).json(&body);
    let path = "/api/v1/auth/password/sign-in";
    services.backend.expect(StatusCode::UNAUTHORIZED, Method::POST, path, request).await?;
    Ok(())
}

async fn unknown_address(services: &Services) -> anyhow::Result<()> {
    let answer =
        services.backend.expect(StatusCode::NOT_FOUND, Method::GET, "/nowhere", Parts::new()).await?;
    ensure!(answer.json()["code"] == "ROUTE_NOT_FOUND", "not an error of the API: {}", answer.text());
    Ok(())
}

fn text(body: &Value, field: &str) -> anyhow::Result<String> {
    body[field]
        .as_str()
        .map(str::to_owned)
        .with_context(|| format!("the answer has no text `{field}`: {body}"))
}
