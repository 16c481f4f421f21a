//! The image proves itself through the program: start, status, health, sign-in, keys, stop. `cargo xtask smoke` runs this file.

use serde_json::{Value, json};
use vm_tests::api::Api;
use vm_tests::emulator::{Emulator, Started};

/// The project that the stack itself is.
const PROJECT: &str = "internal";

/// Header of the key for each kind of access, and the name of the secret in the manifest.
const KEYS: [(&str, &str, &str); 3] = [
    ("client", "x-stack-publishable-client-key", "publishable_client_key"),
    ("server", "x-stack-secret-server-key", "secret_server_key"),
    ("admin", "x-stack-super-secret-admin-key", "super_secret_admin_key"),
];

/// A client of the backend with the key for `access`.
pub(crate) fn backend(emulator: &Emulator, started: &Started, access: &str) -> Api {
    let (_, header, secret) = KEYS.into_iter().find(|(kind, ..)| *kind == access).expect("a kind of access");
    let api = started.api("backend").with("x-stack-project-id", PROJECT).with("x-stack-access-type", access);
    api.with(header, &emulator.placeholder(secret))
}

/// Makes a user.
pub(crate) async fn sign_up(emulator: &Emulator, started: &Started, email: &str) -> Value {
    let body = json!({ "email": email, "password": "correct horse battery" });
    let answer = backend(emulator, started, "client").post("/api/v1/auth/password/sign-up", &body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.body
}

/// The addresses of all users.
pub(crate) async fn users(emulator: &Emulator, started: &Started) -> Vec<String> {
    let answer = backend(emulator, started, "server").get("/api/v1/users").await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let items = answer.body["items"].as_array().expect("`items` is an array");
    items.iter().map(|user| user["primary_email"].as_str().expect("an address").to_owned()).collect()
}

#[tokio::test]
async fn smoke_the_image_starts_serves_signs_in_checks_keys_and_stops() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let status = emulator.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["state"], "running");

    assert_eq!(started.api("backend").get("/health?db=1").await.status, 200);
    let page = started.api("dashboard").get("/handler/sign-in").await;
    assert_eq!(page.status, 200);
    assert!(page.body.as_str().is_some_and(|page| page.contains("Sign in")), "{:?}", page.body);

    keys_are_checked(&emulator, &started).await;
    sessions_work(&emulator, &started).await;
    projects_are_made_once_per_file(&emulator, &started).await;
    cron_needs_its_secret(&emulator, &started).await;
    emulator.finish().await;
    assert!(!started.api("backend").answers("/health").await, "a port outlived the machine");
}

async fn keys_are_checked(emulator: &Emulator, started: &Started) {
    for (access, header, _) in KEYS {
        let right = backend(emulator, started, access).get("/api/v1/projects/current").await;
        assert_eq!((right.status, &right.body["id"]), (200, &json!(PROJECT)), "{access}");
        let wrong =
            started.api("backend").with("x-stack-project-id", PROJECT).with("x-stack-access-type", access);
        let wrong = wrong.with(header, &"0".repeat(64)).get("/api/v1/projects/current").await;
        assert_eq!(wrong.status, 401, "{access}: {:?}", wrong.body);
        assert!(wrong.body["code"].is_string() && wrong.body["error"].is_string(), "{:?}", wrong.body);
    }
    let too_little = backend(emulator, started, "client").get("/api/v1/users").await;
    assert_eq!(too_little.status, 403, "{:?}", too_little.body);
}

async fn sessions_work(emulator: &Emulator, started: &Started) {
    let session = sign_up(emulator, started, "ada@example.com").await;
    let client = backend(emulator, started, "client");
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

async fn projects_are_made_once_per_file(emulator: &Emulator, started: &Started) {
    let client = backend(emulator, started, "client");
    let path = "/api/v1/internal/local-emulator/project";
    let body = json!({ "absolute_file_path": "/home/ada/shop/stack.config.json" });
    let (first, second) = (client.post(path, &body).await, client.post(path, &body).await);
    assert_eq!(first.status, 200, "{:?}", first.body);
    assert_eq!(first.body, second.body);
    assert!(first.body["secret_server_key"].as_str().is_some_and(|key| key.len() == 64), "{:?}", first.body);
    assert_ne!(first.body["project_id"], json!(PROJECT));
    assert_eq!(client.post(path, &json!({ "absolute_file_path": "relative" })).await.status, 400);
}

async fn cron_needs_its_secret(emulator: &Emulator, started: &Started) {
    let path = "/api/v1/internal/cron/delete-expired-sessions";
    let with = |secret: &str| started.api("backend").with("authorization", &format!("Bearer {secret}"));
    assert_eq!(with(&emulator.placeholder("cron_secret")).post(path, &json!({})).await.status, 200);
    assert_eq!(with(&"0".repeat(64)).post(path, &json!({})).await.status, 401);
}
