//! The stack in the image as its clients see it: keys, users, sessions.

use serde_json::{Value, json};

use crate::api::Api;
use crate::emulator::{Emulator, Started};

/// The project that the stack itself is.
pub const PROJECT: &str = "internal";

/// The kinds of access, each with the header of its key and the name of its secret in the manifest.
pub const KEYS: [(&str, &str, &str); 3] = [
    ("client", "x-stack-publishable-client-key", "publishable_client_key"),
    ("server", "x-stack-secret-server-key", "secret_server_key"),
    ("admin", "x-stack-super-secret-admin-key", "super_secret_admin_key"),
];

/// What every key opens.
pub const CURRENT_PROJECT: &str = "/api/v1/projects/current";

/// What `cron_secret` opens.
pub const CRON: &str = "/api/v1/internal/cron/delete-expired-sessions";

/// What gives the project of a configuration file.
pub const FILE_PROJECT: &str = "/api/v1/internal/local-emulator/project";

/// What makes a user with a session.
pub const SIGN_UP: &str = "/api/v1/auth/password/sign-up";

/// What makes a session.
pub const SIGN_IN: &str = "/api/v1/auth/password/sign-in";

/// The session of a refresh token.
pub const SESSION: &str = "/api/v1/auth/sessions/current";

/// What makes an access token.
pub const REFRESH: &str = "/api/v1/auth/sessions/current/refresh";

/// A password that the stack takes.
pub const PASSWORD: &str = "correct horse battery";

/// `api`, a client of the backend, with `key` for `access`.
///
/// # Panics
/// When there is no such access.
pub fn with_key(api: Api, access: &str, key: &str) -> Api {
    let (_, header, _) = KEYS.into_iter().find(|(kind, ..)| *kind == access).expect("a kind of access");
    api.with("x-stack-project-id", PROJECT).with("x-stack-access-type", access).with(header, key)
}

/// A client of the backend with the session's key for `access`.
///
/// # Panics
/// When there is no such access.
pub fn backend(started: &Started, access: &str) -> Api {
    let (.., secret) = KEYS.into_iter().find(|(kind, ..)| *kind == access).expect("a kind of access");
    with_key(started.api("backend"), access, started.secret(secret))
}

/// A client of the backend with `secret` for the periodic tasks.
pub fn cron(started: &Started, secret: &str) -> Api {
    started.api("backend").with("authorization", &format!("Bearer {secret}"))
}

/// Makes a user with a session.
///
/// # Panics
/// When that does not work.
pub async fn sign_up(started: &Started, email: &str) -> Value {
    let body = json!({ "email": email, "password": PASSWORD });
    let answer = backend(started, "client").post("/api/v1/auth/password/sign-up", &body).await;
    assert_eq!(answer.status, 201, "{:?}", answer.body);
    answer.body
}

/// The addresses of all users.
///
/// # Panics
/// When they cannot be had.
pub async fn users(started: &Started) -> Vec<String> {
    let (server, mut found, mut cursor) = (backend(started, "server"), Vec::new(), String::new());
    loop {
        let answer = server.get(&format!("/api/v1/users?limit=100{cursor}")).await;
        assert_eq!(answer.status, 200, "{:?}", answer.body);
        let items = answer.body["items"].as_array().expect("`items` is an array");
        found.extend(items.iter().map(|user| user["primary_email"].as_str().expect("an address").to_owned()));
        match answer.body["pagination"]["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// The keys of the session in the order of [`KEYS`].
///
/// # Panics
/// When one is missing.
pub fn keys(started: &Started) -> [String; 3] {
    KEYS.map(|(.., secret)| started.secret(secret).to_owned())
}

/// The keys that everybody knows who has the image, in the order of [`KEYS`].
pub fn placeholders(emulator: &Emulator) -> [String; 3] {
    KEYS.map(|(.., secret)| emulator.placeholder(secret))
}

/// Status of the answer to each of `keys` in the order of [`KEYS`], asked for what every key opens.
///
/// # Panics
/// When there is no answer.
pub async fn statuses(backend: &Api, keys: &[String; 3]) -> [u16; 3] {
    let mut statuses = [0; 3];
    for ((status, key), (access, ..)) in statuses.iter_mut().zip(keys).zip(KEYS) {
        *status = with_key(backend.clone(), access, key).get(CURRENT_PROJECT).await.status;
    }
    statuses
}
