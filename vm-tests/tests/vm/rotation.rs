//! Secrets: every new session has its own, and whatever was a secret before is refused.

use std::collections::BTreeSet;

use serde_json::json;
use vm_tests::api::Api;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::guest::Guest;
use vm_tests::stack::{CRON, backend, cron, keys, placeholders, sign_up, statuses};

/// How many sessions begin with one snapshot.
const SESSIONS: usize = 20;

/// The stack's services, none of which may be restarted.
const UNITS: &str = "stack-postgres stack-redis stack-backend stack-dashboard stack-cron stack-agent";

#[tokio::test]
async fn twenty_sessions_of_a_snapshot_have_twenty_sets_of_secrets() {
    twenty_sessions(Emulator::for_amd64()).await;
}

pub(crate) async fn twenty_sessions(emulator: Emulator) {
    let mut older = vec![(placeholders(&emulator), emulator.placeholder("cron_secret"))];
    let mut all: BTreeSet<String> =
        older.iter().flat_map(|(keys, cron)| keys.iter().chain([cron]).cloned()).collect();
    let known = all.len();
    for session in 1..=SESSIONS {
        let started = emulator.start(&[]).await.by("snapshot");
        assert_in_force(&started, &emulator.guest()).await;
        assert_refused(&started, &older).await;
        all.extend(started.secrets.values().cloned());
        assert_eq!(all.len(), known + session * started.secrets.len(), "a secret was there before");
        older.push((keys(&started), started.secret("cron_secret").to_owned()));
        emulator.run(&["reset", "--yes"]).await.expect(0);
    }
}

#[tokio::test]
async fn a_rotation_renews_secrets_of_a_running_instance_without_restarts() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let session = sign_up(&started, "ada@example.com").await;
    let guest = emulator.guest();
    let units =
        format!("systemctl show -p Id -p MainPID -p NRestarts -p ActiveEnterTimestampMonotonic {UNITS}");
    let before = guest.sh(&units).await;
    let renewed = emulator.run(&["rotate", "-o", "json"]).await.expect(0).json();
    assert_eq!(renewed["renewed"].as_array().map(Vec::len), Some(started.secrets.len()));

    let again = Started { secrets: emulator.secrets().await, ..started.clone() };
    assert!(again.secrets.values().all(|value| !started.secrets.values().any(|old| old == value)));
    assert_in_force(&again, &guest).await;
    let first = (keys(&started), started.secret("cron_secret").to_owned());
    assert_refused(&again, &[first, (placeholders(&emulator), emulator.placeholder("cron_secret"))]).await;
    assert_eq!(guest.sh(&units).await, before);
    let token = session["access_token"].as_str().expect("an access token");
    let me = backend(&again, "client").with("x-stack-access-token", token).get("/api/v1/users/me").await;
    assert_eq!(me.status, 200, "{:?}", me.body);

    for unit in ["stack-keys", "stack-postgres"] {
        guest.sh(&format!("systemctl stop {unit}")).await;
        let refused = emulator.run(&["rotate"]).await.expect(1);
        assert!(
            refused.stderr.contains(&format!("do not run: `{}` ({unit}.service)", &unit[6..])),
            "{}",
            refused.stderr
        );
        guest.sh(&format!("systemctl start {unit}")).await;
    }
    emulator.run(&["rotate"]).await.expect(0);
    let again = Started { secrets: emulator.secrets().await, ..again };

    emulator.finish().await;
    assert_eq!(emulator.start(&[]).await.by("suspended").secrets, again.secrets);
    emulator.kill_qemu().await;
    let booted = emulator.start(&[]).await.by("cold");
    assert_eq!(booted.secrets, again.secrets);
    assert_in_force(&booted, &emulator.guest()).await;
    emulator.finish().await;
}

#[tokio::test]
async fn placeholders_stay_only_where_that_is_asked_for_and_it_is_said_loudly() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&["--no-rotation"]).await.by("snapshot");
    assert!(
        started.said.contains("warning: the secrets are the image's well-known placeholders"),
        "{}",
        started.said
    );
    assert_eq!(started.report["rotated"], json!(false));
    assert_eq!(keys(&started), placeholders(&emulator));
    assert_in_force(&started, &emulator.guest()).await;
    let status = emulator.run(&["status"]).await.expect(0);
    assert!(status.stdout.contains("the image's well-known placeholders"), "{}", status.stdout);
    let rotate = emulator.run(&["rotate"]).await.expect(1);
    assert!(rotate.stderr.contains("without secrets of its own"), "{}", rotate.stderr);
    emulator.finish().await;
}

/// Every secret opens what it should, and the database has the keys.
async fn assert_in_force(started: &Started, guest: &Guest) {
    let keys = keys(started);
    assert_eq!(statuses(&started.api("backend"), &keys).await, [200; 3]);
    assert_eq!(cron_status(started, started.secret("cron_secret")).await, 200);
    let row = r#"SELECT "publishableClientKey", "secretServerKey", "superSecretAdminKey"
        FROM "ApiKeySet" WHERE "projectId" = 'internal'"#;
    assert_eq!(guest.sql(row).await, keys.join("|"));
}

/// None of these secrets opens anything.
async fn assert_refused(started: &Started, older: &[([String; 3], String)]) {
    let backend: Api = started.api("backend");
    for (keys, cron) in older {
        assert_eq!(statuses(&backend, keys).await, [401; 3], "{keys:?}");
        assert_eq!(cron_status(started, cron).await, 401, "{cron}");
    }
}

async fn cron_status(started: &Started, secret: &str) -> u16 {
    cron(started, secret).post(CRON, &json!({})).await.status
}
