//! The stacks of `examples/`: compose files whose containers run in the machine.

use std::path::Path;

use image::arch::Arch;
use serde_json::{Value, json};
use vm_tests::built_stack::built_stack;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::example_images::example_image;

/// Builds the image of the stack at `compose`, with these container images, into a home without another one. It has at most `largest`
/// MiB.
async fn built(stack: &str, compose: &str, images: &[&str], largest: u64) -> Emulator {
    let mut archives = Vec::new();
    for image in images {
        archives.push(example_image(image).await);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(compose);
    let emulator = built_stack(stack, &file, &archives).await;
    let size = std::fs::metadata(emulator.home().home().image(Arch::Amd64)).unwrap().len();
    assert!(size <= largest << 20, "the image has {} MiB", size >> 20);
    emulator
}

async fn start(emulator: &Emulator) -> Started {
    emulator.started(emulator.run(&["start", "-o", "json", "--port", "backend=auto"]).await).await
}

/// Who the administrator's password signs in.
async fn signed_in(started: &Started, password: &str) -> (u16, Value) {
    let answer = started.api("backend").user("admin", password).get("/v1/me").await;
    (answer.status, answer.body["username"].clone())
}

async fn add_category(started: &Started, password: &str, title: &str) {
    let category = json!({ "title": title });
    let kept = started.api("backend").user("admin", password).post("/v1/categories", &category).await;
    assert_eq!(kept.status, 201, "{:?}", kept.body);
}

/// Miniflux keeps its administrator's password in the database.
async fn miniflux(emulator: Emulator) {
    let secret = "admin_password";
    let first = start(&emulator).await.by("snapshot");
    assert_eq!(signed_in(&first, first.secret(secret)).await, (200, json!("admin")));
    assert_eq!(signed_in(&first, &emulator.placeholder(secret)).await.0, 401);
    add_category(&first, first.secret(secret), "Kept").await;
    let command =
        r#"curl --silent --fail --user "$MINIFLUX_USERNAME:$MINIFLUX_PASSWORD" "$MINIFLUX_URL/v1/me""#;
    let me = emulator.run_beside(&[], &["sh", "-c", command]).await.expect(0);
    assert_eq!(me.json()["username"], "admin", "what `run` exports is all that a client needs");
    let log = emulator.run(&["logs", "miniflux"]).await.expect(0).stdout;
    assert!(log.contains("Starting HTTP server"), "{log}");

    emulator.run(&["rotate"]).await.expect(0);
    let renewed = emulator.secrets().await[secret].clone();
    assert_eq!(signed_in(&first, &renewed).await.0, 200);
    assert_eq!(signed_in(&first, first.secret(secret)).await.0, 401);

    emulator.finish().await;
    let again = start(&emulator).await.by("suspended");
    assert_eq!(signed_in(&again, &renewed).await.0, 200);
    add_category(&again, &renewed, "Kept too").await;
    emulator.kill_qemu().await;
    let booted = start(&emulator).await.by("cold");
    let categories = booted.api("backend").user("admin", &renewed).get("/v1/categories").await;
    let titles: Vec<_> = categories.body.as_array().unwrap().iter().map(|one| one["title"].clone()).collect();
    assert!(titles.contains(&json!("Kept")) && titles.contains(&json!("Kept too")), "{titles:?}");

    emulator.run(&["stop", "--shutdown"]).await.expect(0);
    emulator.run(&["reset", "--yes"]).await.expect(0);
    let other = start(&emulator).await.by("snapshot");
    assert_eq!(signed_in(&other, other.secret(secret)).await.0, 200);
    assert_eq!(signed_in(&other, &renewed).await.0, 401);
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn miniflux_has_a_password_of_its_own_in_every_session() {
    miniflux(built("miniflux", "miniflux/compose.yaml", &["miniflux", "postgres"], 170).await).await;
}

#[tokio::test]
async fn miniflux_works_with_the_native_database_too() {
    miniflux(built("miniflux-native", "miniflux/compose.native.yaml", &["miniflux"], 130).await).await;
}

#[tokio::test]
async fn parse_server_takes_a_new_master_key_without_a_restart() {
    let emulator = built("parse-server", "parse-server/compose.yaml", &["parse-server"], 220).await;
    let started = start(&emulator).await.by("snapshot");
    let api = || started.api("backend").with("x-parse-application-id", "example");
    let schemas = async |key: &str| api().with("x-parse-master-key", key).get("/parse/schemas").await.status;
    let secret = "master_key";
    assert_eq!(schemas(started.secret(secret)).await, 200);
    assert_ne!(schemas(&emulator.placeholder(secret)).await, 200);

    let made = api().post("/parse/classes/Note", &json!({ "text": "kept" })).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    emulator.run(&["rotate"]).await.expect(0);
    let renewed = emulator.secrets().await[secret].clone();
    assert_eq!(schemas(&renewed).await, 200);
    assert_ne!(schemas(started.secret(secret)).await, 200);
    let notes = api().get("/parse/classes/Note").await;
    assert_eq!(notes.body["results"][0]["text"], json!("kept"), "{:?}", notes.body);

    let file = emulator.inside(&["parse"], &["cat", "/run/secrets/master_key"]).await.expect(0).stdout;
    assert_eq!(file.trim(), renewed);
    let logs = emulator.run(&["logs", "parse"]).await.expect(0).stdout;
    assert!(!logs.is_empty());
    let command = "curl --silent --fail --header \"X-Parse-Application-Id: $PARSE_APP_ID\" \
                   --header \"X-Parse-Master-Key: $PARSE_MASTER_KEY\" \"$PARSE_SERVER_URL/schemas\"";
    let schemas = emulator.run_beside(&[], &["sh", "-c", command]).await.expect(0);
    let mut classes = schemas.json()["results"].as_array().unwrap().clone().into_iter();
    assert!(classes.any(|class| class["className"] == "Note"), "{}", schemas.stdout);

    let made = api().post("/parse/classes/Note", &json!({ "text": "kept too" })).await;
    assert_eq!(made.status, 201, "{:?}", made.body);
    emulator.kill_qemu().await;
    let booted = start(&emulator).await.by("cold");
    let notes =
        booted.api("backend").with("x-parse-application-id", "example").get("/parse/classes/Note").await;
    let texts: Vec<_> = notes.body["results"].as_array().unwrap().iter().map(|note| &note["text"]).collect();
    assert_eq!(texts, ["kept", "kept too"], "{:?}", notes.body);
    emulator.finish().await;
    emulator.assert_tidy().await;
}
