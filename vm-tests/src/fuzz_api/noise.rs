//! Invalid requests of every kind that comes to mind, mixed with some valid ones.

use rand::RngExt;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::flows::of_project;
use super::shapes::{self, one};
use super::wire::Request;
use super::{Stop, Target};
use crate::stack::{
    CRON, CURRENT_PROJECT, FILE_PROJECT, KEYS, PASSWORD, PROJECT, REFRESH, SESSION, SIGN_IN, SIGN_UP,
};

const METHODS: [&str; 11] =
    ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "X-ODD"];

/// Larger bodies are refused before they are read, and what is then still on its way may end the connection before the answer.
const SURELY_ANSWERED_BYTES: usize = 8 * 1024;

/// What a route of the backend reads.
const BACKEND: [(&str, &str); 15] = [
    ("GET", "/health"),
    ("GET", "/health?db=1"),
    ("POST", SIGN_UP),
    ("POST", SIGN_IN),
    ("POST", REFRESH),
    ("DELETE", SESSION),
    ("GET", "/api/v1/users/me"),
    ("GET", "/api/v1/users"),
    ("POST", "/api/v1/users"),
    ("GET", "/api/v1/users/ID"),
    ("PATCH", "/api/v1/users/ID"),
    ("DELETE", "/api/v1/users/ID"),
    ("GET", CURRENT_PROJECT),
    ("POST", FILE_PROJECT),
    ("POST", CRON),
];

const DASHBOARD: [(&str, &str); 14] = [
    ("GET", "/"),
    ("GET", "/handler/sign-in"),
    ("POST", "/handler/sign-in"),
    ("POST", "/handler/sign-out"),
    ("GET", "/projects"),
    ("GET", "/projects/PROJECT"),
    ("GET", "/projects/PROJECT/keys"),
    ("GET", "/projects/PROJECT/users"),
    ("POST", "/projects/PROJECT/users"),
    ("POST", "/projects/PROJECT/users/ID/delete"),
    ("GET", "/status"),
    ("GET", "/assets/stack.css"),
    ("GET", "/assets/mark.svg"),
    ("GET", "/nowhere"),
];

/// What the requests have that are not refused at once: a project of this worker's own, with a user.
struct Held {
    project: Value,
    user: Value,
    cookie: String,
}

/// Makes noise until the time is up.
pub(super) async fn make(target: &Target, mut rng: StdRng, end: Instant) {
    while target.goes_on(end) {
        let Ok(held) = hold(target, &mut rng).await else { continue };
        // Now and then a new user and cookie: these may have been deleted by their own noise.
        for _ in 0..150 {
            if !target.goes_on(end) {
                return;
            }
            let (host, request) = if rng.random_bool(0.65) {
                (&target.backend, to_backend(target, &mut rng, &held))
            } else {
                (&target.dashboard, to_dashboard(&mut rng, &held))
            };
            let _ = target.try_ask(host, &request).await;
        }
    }
}

async fn hold(target: &Target, rng: &mut StdRng) -> Result<Held, Stop> {
    let path =
        json!({ "absolute_file_path": format!("/noise/{:016x}/stack.config.json", rng.random::<u64>()) });
    let request = target.internal("POST", FILE_PROJECT).json(&path);
    let project = target.ask(&target.backend, &request).await?.json();
    let email = format!("{:016x}@example.com", rng.random::<u64>());
    let request = of_project(&project, "client", "POST", SIGN_UP);
    let request = request.json(&json!({ "email": email, "password": PASSWORD }));
    let mut user = target.ask(&target.backend, &request).await?.json();
    user["email"] = json!(email);
    Ok(Held { project, user, cookie: target.dashboard_cookie().await? })
}

fn to_backend(target: &Target, rng: &mut StdRng, held: &Held) -> Request {
    let (method, path) = *one(rng, &BACKEND);
    let id = if rng.random() {
        held.user["user_id"].as_str().unwrap_or_default().to_owned()
    } else {
        shapes::escaped(rng)
    };
    let mut path = path.replace("ID", &id);
    if path == "/api/v1/users" && method == "GET" && rng.random() {
        let name = one(rng, &["limit", "cursor", "query", "limit=3&cursor", "query=ada&query"]);
        path = format!("{path}?{name}={}", shapes::escaped(rng));
    }
    let (method, path) = mutated(rng, method, path);
    let mut request = Request::new(method, path.clone());
    request = authenticated(target, rng, held, request);
    let right = right_body(held, &path);
    if !right.is_null() || rng.random_bool(0.1) {
        request.body = shapes::body(rng, &right);
        let kind = if rng.random_bool(0.9) { b"application/json".to_vec() } else { shapes::header(rng) };
        request = request.header("content-type", kind);
    }
    disturbed(rng, request)
}

/// What the route reads; null where it reads nothing.
fn right_body(held: &Held, path: &str) -> Value {
    match path {
        SIGN_UP => {
            json!({ "email": "someone@example.com", "password": PASSWORD, "display_name": "Some One" })
        }
        SIGN_IN => json!({ "email": held.user["email"], "password": PASSWORD }),
        FILE_PROJECT => json!({ "absolute_file_path": "/noise/stack.config.json" }),
        "/api/v1/users" => {
            json!({ "primary_email": "other@example.com", "display_name": null, "password": PASSWORD })
        }
        _ if path.starts_with("/api/v1/users/") => {
            json!({ "primary_email": "third@example.com", "display_name": "Third", "password": PASSWORD })
        }
        _ => Value::Null,
    }
}

/// Keys, tokens and the cron secret, most of them right.
fn authenticated(target: &Target, rng: &mut StdRng, held: &Held, mut request: Request) -> Request {
    let odd = |rng: &mut StdRng, right: &str| {
        if rng.random_bool(0.92) { right.as_bytes().to_vec() } else { shapes::header(rng) }
    };
    let (index, (access, header, field)) = *one(rng, &KEYS.into_iter().enumerate().collect::<Vec<_>>());
    let internal = rng.random_bool(0.3);
    let (project, key) = if internal {
        (PROJECT, target.keys[index].as_str())
    } else {
        (
            held.project["project_id"].as_str().unwrap_or_default(),
            held.project[field].as_str().unwrap_or_default(),
        )
    };
    for (name, value) in [
        ("x-stack-project-id", project),
        ("x-stack-access-type", access),
        (header, key),
        ("x-stack-access-token", held.user["access_token"].as_str().unwrap_or_default()),
        ("x-stack-refresh-token", held.user["refresh_token"].as_str().unwrap_or_default()),
    ] {
        if rng.random_bool(0.95) {
            request = request.header(name, odd(rng, value));
        }
    }
    if rng.random_bool(0.3) {
        request = request.header("authorization", odd(rng, &format!("Bearer {}", target.cron_secret)));
    }
    request
}

fn to_dashboard(rng: &mut StdRng, held: &Held) -> Request {
    let (method, path) = *one(rng, &DASHBOARD);
    let project = match rng.random_range(0..4) {
        0 => PROJECT.to_owned(),
        1 => shapes::escaped(rng),
        _ => held.project["project_id"].as_str().unwrap_or_default().to_owned(),
    };
    let id = if rng.random() {
        held.user["user_id"].as_str().unwrap_or_default().to_owned()
    } else {
        shapes::escaped(rng)
    };
    let mut path = path.replace("PROJECT", &project).replace("ID", &id);
    if method == "GET" && path.ends_with("/users") && rng.random() {
        path =
            format!("{path}?{}={}", one(rng, &["search", "after", "search=a&after"]), shapes::escaped(rng));
    }
    let form = match path.as_str() {
        "/handler/sign-in" => shapes::form(rng, &["email", "password"]),
        _ => shapes::form(rng, &["email", "name", "password"]),
    };
    let (method, path) = mutated(rng, method, path);
    let mut request = Request::new(method.clone(), path);
    if rng.random_bool(0.9) {
        request = request.header("cookie", held.cookie.clone());
    } else {
        request = request.header("cookie", shapes::header(rng));
    }
    if method == b"POST" {
        request = request.form(&form);
    }
    disturbed(rng, request)
}

/// Another method, or a path that has more or less.
fn mutated(rng: &mut StdRng, method: &str, path: String) -> (Vec<u8>, String) {
    let method = if rng.random_bool(0.93) { method } else { one(rng, &METHODS) };
    let path = match rng.random_range(0..30) {
        0 => format!("{path}/"),
        1 => format!("{path}?{}", shapes::escaped(rng)),
        2 => format!("{path}/{}", shapes::escaped(rng)),
        3 => format!("/{path}"),
        _ => path,
    };
    (method.as_bytes().to_vec(), path)
}

/// Now and then a header that changes what the request means, or that is none.
fn disturbed(rng: &mut StdRng, mut request: Request) -> Request {
    let odd = shapes::header(rng);
    match rng.random_range(0..40) {
        0 => request = request.header("host", odd),
        1 => request = request.header("origin", odd),
        2 => request = request.header("sec-fetch-site", *one(rng, &["cross-site", "same-origin", "?"])),
        3 => request = request.header("content-type", odd),
        4 => {
            request = request.header(*one(rng, &["x-odd", "cookie", "accept", "range", "if-none-match"]), odd)
        }
        5 => request = request.header("expect", "100-continue"),
        6 => request = request.header("upgrade", "h2c").header("connection", "upgrade"),
        7 => request.body.extend(b" ".repeat(*one(rng, &[10_000, 64 * 1024, 70 * 1024]))),
        8 => {
            request =
                request.header("content-length", *one(rng, &["-1", "18446744073709551616", "1, 2", "x"]))
        }
        9 => {
            request = request.header("transfer-encoding", *one(rng, &["chunked", "gzip", "chunked, chunked"]))
        }
        10 => request = request.header(b"x odd\x00".to_vec(), odd),
        11 => request.target = [&request.target[..], b" \x01\xff"].concat(),
        _ => {}
    }
    let is = |name: &str| request.headers.iter().any(|(given, _)| given == name.as_bytes());
    let odd_frame = is("content-length") || is("transfer-encoding") || is("expect") || is("upgrade");
    let odd_line = !request.method.iter().all(u8::is_ascii_uppercase) || request.target.contains(&b' ');
    request.may_be_dropped =
        odd_frame || odd_line || is("x odd\0") || request.body.len() > SURELY_ANSWERED_BYTES;
    request
}
