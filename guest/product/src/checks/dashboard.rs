//! The dashboard, as a browser without scripts uses it.

use anyhow::{Context as _, ensure};
use axum::http::{Method, StatusCode, header};
use guest::http_client::Parts;

use super::{Outcome, Project, Services, api};
use crate::local_admin;

const SIGN_IN: &str = "/handler/sign-in";
/// Not the path of the API's checks, so that both can be called at once.
const CONFIG_FILE: &str = "/var/lib/stack/checks/dashboard/stack.config.json";
/// Without characters that a form would have to escape.
const EMAIL: &str = "alan%40example.com";

/// Every page and form once.
pub(crate) async fn every_page(services: &Services, outcome: &mut Outcome) {
    outcome.check("sign-in page and its files", sign_in_page(services)).await;
    let Some(cookie) = outcome.check("sign-in on the dashboard", sign_in(services)).await else { return };
    outcome.check("projects on the dashboard", page(services, &cookie, "/projects")).await;
    let project = api::make_project(services, CONFIG_FILE);
    if let Some(project) = outcome.check("project for the dashboard", project).await {
        outcome.check("masked keys", masked_keys(services, &cookie, &project)).await;
        outcome.check("users on the dashboard", users(services, &cookie, &project)).await;
        outcome.check("deletion of that project", api::delete_project(services, &project)).await;
    }
    outcome.check("sign-out on the dashboard", sign_out(services, &cookie)).await;
}

/// Whether all that the status page shows is healthy.
pub(crate) async fn status_page(services: &Services, outcome: &mut Outcome) {
    outcome.check("status page", status(services)).await;
}

/// What must be refused is refused.
pub(crate) async fn refusals(services: &Services, outcome: &mut Outcome) {
    outcome.check("a wrong password on the dashboard is refused politely", wrong_password(services)).await;
    outcome.check("a form from another site is refused", foreign_form(services)).await;
    outcome.check("pages lead to the sign-in without a session", without_session(services)).await;
}

async fn sign_in_page(services: &Services) -> anyhow::Result<()> {
    for path in [SIGN_IN, "/assets/stack.css", "/assets/mark.svg"] {
        services.dashboard.expect(StatusCode::OK, Method::GET, path, Parts::new()).await?;
    }
    Ok(())
}

async fn status(services: &Services) -> anyhow::Result<()> {
    let page = services.dashboard.expect(StatusCode::OK, Method::GET, "/status", Parts::new()).await?.text();
    ensure!(page.contains(r#"data-verdict="healthy""#), "not every service is healthy: {page}");
    Ok(())
}

/// Signs in, and returns the session's cookie.
async fn sign_in(services: &Services) -> anyhow::Result<String> {
    let answer = services
        .dashboard
        .expect(StatusCode::SEE_OTHER, Method::POST, SIGN_IN, credentials(local_admin::PASSWORD))
        .await?;
    let cookie = answer.headers.get(header::SET_COOKIE).context("the sign-in set no cookie")?.to_str()?;
    ensure!(
        cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"),
        "the cookie is not protected: {cookie}"
    );
    Ok(cookie.split(';').next().unwrap_or_default().to_owned())
}

async fn page(services: &Services, cookie: &str, path: &str) -> anyhow::Result<String> {
    let request = Parts::new().header("cookie", cookie);
    Ok(services.dashboard.expect(StatusCode::OK, Method::GET, path, request).await?.text())
}

async fn masked_keys(services: &Services, cookie: &str, project: &Project) -> anyhow::Result<()> {
    let page = page(services, cookie, &format!("/projects/{}/keys", project.id)).await?;
    for key in
        [&project.keys.publishable_client, &project.keys.secret_server, &project.keys.super_secret_admin]
    {
        ensure!(!page.contains(key.reveal()), "the page shows a key in full");
        ensure!(page.contains(&key.masked()), "the page does not show the masked key");
    }
    Ok(())
}

async fn users(services: &Services, cookie: &str, project: &Project) -> anyhow::Result<()> {
    let path = format!("/projects/{}/users", project.id);
    let create = Parts::new().header("cookie", cookie).form(format!("email={EMAIL}&name=Alan&password="));
    services.dashboard.expect(StatusCode::SEE_OTHER, Method::POST, &path, create).await?;
    let list = page(services, cookie, &path).await?;
    // The only form of the list whose address ends like this is the new user's.
    let delete = list
        .split(r#"action=""#)
        .filter_map(|rest| rest.split('"').next())
        .find(|action| action.ends_with("/delete"))
        .context("the list offers no deletion")?;
    let request = Parts::new().header("cookie", cookie).form("");
    services.dashboard.expect(StatusCode::SEE_OTHER, Method::POST, delete, request).await?;
    ensure!(!page(services, cookie, &path).await?.contains("alan@"), "the user is still there");
    Ok(())
}

async fn sign_out(services: &Services, cookie: &str) -> anyhow::Result<()> {
    let request = || Parts::new().header("cookie", cookie);
    services.dashboard.expect(StatusCode::SEE_OTHER, Method::POST, "/handler/sign-out", request()).await?;
    services.dashboard.expect(StatusCode::SEE_OTHER, Method::GET, "/projects", request()).await?;
    Ok(())
}

async fn wrong_password(services: &Services) -> anyhow::Result<()> {
    let request = credentials("not-the-password");
    let answer = services.dashboard.expect(StatusCode::UNAUTHORIZED, Method::POST, SIGN_IN, request).await?;
    ensure!(answer.text().contains("Please try again"), "not a polite answer: {}", answer.text());
    Ok(())
}

async fn foreign_form(services: &Services) -> anyhow::Result<()> {
    let request = credentials(local_admin::PASSWORD).header("origin", "http://evil.example");
    services.dashboard.expect(StatusCode::FORBIDDEN, Method::POST, SIGN_IN, request).await?;
    Ok(())
}

async fn without_session(services: &Services) -> anyhow::Result<()> {
    let answer =
        services.dashboard.expect(StatusCode::SEE_OTHER, Method::GET, "/projects", Parts::new()).await?;
    ensure!(answer.headers.get(header::LOCATION).is_some_and(|to| to == SIGN_IN), "it leads elsewhere");
    Ok(())
}

fn credentials(password: &str) -> Parts {
    let email = local_admin::EMAIL.replace('@', "%40");
    Parts::new().form(format!("email={email}&password={password}"))
}
