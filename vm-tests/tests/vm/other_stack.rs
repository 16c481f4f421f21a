//! A stack other than this repository's, without PostgreSQL and without the product: a script that serves the secret that it has read,
//! once, from a file.

use std::fs;
use std::path::Path;

use base::process::Cmd;
use serde_json::{Value, json};
use tempfile::TempDir;
use vm_tests::built_stack::{build, built_stack};
use vm_tests::emulator::{Emulator, Started};

/// Its secret.
const SECRET: &str = "web_password";

/// It has no container.
const NO_IMAGES: [&str; 0] = [];

/// A start of its machine that a program reads, on a port that no other machine has.
const START: [&str; 5] = ["start", "-o", "json", "--port", "web=auto"];

#[tokio::test]
async fn a_stack_in_a_directory_of_its_own_is_built_and_runs() {
    let stack = stack().await;
    let emulator = built_stack("tiny", stack.path(), &NO_IMAGES).await;
    let manifest = emulator.home().manifest();
    for package in ["cloud-init", "postgresql-17", "redis-server"] {
        assert!(!manifest.debian.packages.contains_key(package), "{package} is in the image");
    }

    let first = start(&emulator).await.by("snapshot");
    // Its service names the package, so it stays, although only provisioning needed it otherwise.
    let python = emulator.inside(&[], &["python3", "-c", "import json; print(json.dumps([1]))"]).await;
    assert_eq!(python.expect(0).stdout, "[1]\n");
    assert_ne!(first.secret(SECRET), emulator.placeholder(SECRET));
    assert_eq!(served(&first).await, json!(first.secret(SECRET)));
    emulator.run(&["rotate"]).await.expect(0);
    let renewed = emulator.secrets().await[SECRET].clone();
    assert_ne!(renewed, first.secret(SECRET));
    assert_eq!(served(&first).await, json!(renewed));
    exports(&emulator, &first, &renewed).await;

    emulator.finish().await;
    // What another build replaces stays for the data of the instance.
    fs::write(stack.path().join("services/web/files/etc/new"), "new").unwrap();
    let built = build(&emulator, stack.path(), &NO_IMAGES).await.expect(0).stderr;
    assert!(built.contains("next: `emulator start --stack tiny`"), "{built}");
    let again = start(&emulator).await.by("suspended");
    assert!(again.said.contains("is on an older image than `"), "{}", again.said);
    assert_eq!(again.secret(SECRET), renewed);
    assert_eq!(served(&again).await, json!(renewed));
    let logs = emulator.run(&["logs", "web"]).await.expect(0).stdout;
    assert!(logs.contains("Started web.service"), "{logs}");

    emulator.finish().await;
    emulator.run(&["reset", "--yes"]).await.expect(0);
    let other = start(&emulator).await.by("snapshot");
    assert!(!other.said.contains("is on an older image than `"), "{}", other.said);
    assert_eq!(emulator.inside(&[], &["cat", "/etc/new"]).await.expect(0).stdout, "new");
    assert_ne!(other.secret(SECRET), renewed);
    assert_eq!(served(&other).await, json!(other.secret(SECRET)));
    emulator.stop(&["--shutdown"], "stopped").await;

    let list = async || emulator.run(&["list", "-o", "json"]).await.expect(0).json()["instances"].clone();
    let listed = list().await;
    assert_eq!((&listed[0]["state"], &listed[0]["arch"]), (&json!("stopped"), &json!("amd64")), "{listed}");
    emulator.run(&["delete", "--yes"]).await.expect(0);
    assert_eq!(list().await, json!([]));
    emulator.assert_tidy().await;
}

/// Its one variable has a port and a secret in it, and it knows no projects.
async fn exports(emulator: &Emulator, started: &Started, secret: &str) {
    let report = emulator.run(&["env", "-o", "json"]).await.expect(0).json();
    let address = started.url("web").replace("://", &format!("://user:{secret}@"));
    let expected = json!({ "EMULATOR_INSTANCE": "default", "WEB_ADDRESS": format!("{address}/") });
    assert_eq!((&report["variables"], &report["secrets"]), (&expected, &json!(["WEB_ADDRESS"])));
    let refused = emulator.run(&["env", "--config-file", "/etc/hosts"]).await.expect(2).stderr;
    assert!(refused.contains("has no projects for configuration files"), "{refused}");
}

/// A copy of the stack beside this file.
async fn stack() -> TempDir {
    let dir = tempfile::Builder::new().prefix("vm-test-stack-").tempdir().unwrap();
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/other_stack/.");
    Cmd::new("cp").arg("-a").arg(stack).arg(dir.path()).output().await.unwrap();
    dir
}

async fn start(emulator: &Emulator) -> Started {
    emulator.started(emulator.run(&START).await).await
}

/// The secret that the service shows.
async fn served(started: &Started) -> Value {
    let answer = started.api("web").get("/").await;
    assert_eq!(answer.status, 200);
    answer.body["password"].clone()
}
