//! The image is verified through the program: start, status, health, sign-in, keys, stop. `cargo xtask smoke` runs this file.

use serde_json::json;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::stack::{CRON, CURRENT_PROJECT, KEYS, PROJECT, backend, cron, sign_up, with_key};

#[tokio::test]
async fn smoke_the_image_starts_serves_signs_in_checks_keys_and_stops() {
    smoke(Emulator::for_amd64()).await;
}

pub(crate) async fn smoke(emulator: Emulator) {
    let started = emulator.start(&[]).await;
    let status = emulator.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["state"], "running");

    assert_eq!(started.api("backend").get("/health?db=1").await.status, 200);
    let page = started.api("dashboard").get("/handler/sign-in").await;
    assert_eq!(page.status, 200);
    assert!(page.body.as_str().is_some_and(|page| page.contains("Sign in")), "{:?}", page.body);

    keys_are_checked(&started).await;
    sessions_work(&started).await;
    tokens_end_with_their_session(&emulator, &started).await;
    projects_are_made_once_per_file(&started).await;
    cron_needs_its_secret(&started).await;
    emulator.finish().await;
    assert!(!started.api("backend").answers("/health").await, "a port outlived the machine");
}

async fn keys_are_checked(started: &Started) {
    for (access, ..) in KEYS {
        let right = backend(started, access).get(CURRENT_PROJECT).await;
        assert_eq!((right.status, &right.body["id"]), (200, &json!(PROJECT)), "{access}");
        let wrong = with_key(started.api("backend"), access, &"0".repeat(64)).get(CURRENT_PROJECT).await;
        assert_eq!(wrong.status, 401, "{access}: {:?}", wrong.body);
        assert!(wrong.body["code"].is_string() && wrong.body["error"].is_string(), "{:?}", wrong.body);
    }
    let too_little = backend(started, "client").get("/api/v1/users").await;
    assert_eq!(too_little.status, 403, "{:?}", too_little.body);
}

async fn sessions_work(started: &Started) {
    let session = sign_up(started, "ada@example.com").await;
    let client = backend(started, "client");
    let body = json!({ "email": "ada@example.com", "password": "wrong password" });
    assert_eq!(client.post("/api/v1/auth/password/sign-in", &body).await.status, 401);
    let body = json!({ "email": "ada@example.com", "password": "correct horse battery" });
    assert_eq!(client.post("/api/v1/auth/password/sign-in", &body).await.status, 200);

    let token = session["access_token"].as_str().expect("an access token");
    let me = client.clone().with("x-stack-access-token", token).get("/api/v1/users/me").await;
    assert_eq!((me.status, &me.body["primary_email"]), (200, &json!("ada@example.com")));
    let forged = client.clone().with("x-stack-access-token", "forged").get("/api/v1/users/me").await;
    assert_eq!(forged.status, 401);

    let refresh = session["refresh_token"].as_str().expect("a refresh token");
    let client = client.with("x-stack-refresh-token", refresh);
    assert_eq!(client.post("/api/v1/auth/sessions/current/refresh", &json!({})).await.status, 200);
    assert_eq!(client.delete("/api/v1/auth/sessions/current").await.status, 204);
    assert_eq!(client.post("/api/v1/auth/sessions/current/refresh", &json!({})).await.status, 401);
}

async fn tokens_end_with_their_session(emulator: &Emulator, started: &Started) {
    let session = sign_up(started, "grace@example.com").await;
    let user = session["user_id"].as_str().expect("the user's id");
    let shorten = format!(
        "UPDATE \"Session\" SET \"expiresAt\" = date_trunc('second', now()) + interval '10 minutes' \
         WHERE \"userId\" = '{user}' RETURNING (extract(epoch FROM \"expiresAt\") * 1000)::bigint"
    );
    let end: i64 = emulator.guest().sql(&shorten).await.trim().parse().expect("the end of one session");
    let refresh = session["refresh_token"].as_str().expect("a refresh token");
    let client = backend(started, "client").with("x-stack-refresh-token", refresh);
    let answer = client.post("/api/v1/auth/sessions/current/refresh", &json!({})).await;
    assert_eq!((answer.status, &answer.body["access_token_expires_at_millis"]), (200, &json!(end)));
}

async fn projects_are_made_once_per_file(started: &Started) {
    let client = backend(started, "client");
    let path = "/api/v1/internal/local-emulator/project";
    let body = json!({ "absolute_file_path": "/home/ada/shop/stack.config.json" });
    let (first, second) = (client.post(path, &body).await, client.post(path, &body).await);
    assert_eq!(first.status, 200, "{:?}", first.body);
    assert_eq!(first.body, second.body);
    assert!(first.body["secret_server_key"].as_str().is_some_and(|key| key.len() == 64), "{:?}", first.body);
    assert_ne!(first.body["project_id"], json!(PROJECT));
    assert_eq!(client.post(path, &json!({ "absolute_file_path": "relative" })).await.status, 400);
}

async fn cron_needs_its_secret(started: &Started) {
    assert_eq!(cron(started, started.secret("cron_secret")).post(CRON, &json!({})).await.status, 200);
    assert_eq!(cron(started, &"0".repeat(64)).post(CRON, &json!({})).await.status, 401);
}
