//! A home of the last version that had the flat live record: this program uses everything in it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use vm_tests::emulator::{Emulator, Started};
use vm_tests::stack::{sign_up, users};

/// The records as that version wrote them. A string that begins with a slash is where a record of this program has the value.
const INSTANCE: &str = include_str!("last_version/instance.json");
const LIVE: &str = include_str!("last_version/live.json");
const SUSPENDED: &str = include_str!("last_version/suspended.json");
const SNAPSHOT: &str = include_str!("last_version/snapshot.json");

/// Gives the record at `path` the form that it had, with the values that are in it.
fn make_old(path: &Path, form: &str) {
    let now: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let mut old: Value = serde_json::from_str(form).unwrap();
    fill(&mut old, &now);
    let text = serde_json::to_string_pretty(&old).unwrap();
    // Beside it, since a snapshot's files are read-only.
    let beside = path.with_extension("old");
    fs::write(&beside, text).unwrap();
    fs::set_permissions(&beside, fs::metadata(path).unwrap().permissions()).unwrap();
    fs::rename(&beside, path).unwrap();
}

fn fill(form: &mut Value, values: &Value) {
    match form {
        Value::Object(map) => map.values_mut().for_each(|value| fill(value, values)),
        Value::String(pointer) if pointer.starts_with('/') => {
            let value = values.pointer(pointer);
            *form = value.unwrap_or_else(|| panic!("no {pointer} in {values}")).clone();
        }
        _ => {}
    }
}

async fn kept(started: &Started, before: &Started, user: &str) {
    assert_eq!(started.secrets, before.secrets);
    assert!(users(started).await.contains(&user.to_owned()), "{user}");
}

#[tokio::test]
async fn a_home_of_the_last_version_keeps_its_data_and_secrets() {
    let awake = Emulator::without_snapshots();
    let (asleep, off) = (awake.instance("asleep"), awake.instance("off"));
    let was_off = off.start(&[]).await;
    sign_up(&was_off, "off@example.com").await;
    off.stop(&["--shutdown"], "stopped").await;
    let was_asleep = asleep.start(&[]).await;
    sign_up(&was_asleep, "asleep@example.com").await;
    asleep.finish().await;
    let was_awake = awake.start(&[]).await;
    sign_up(&was_awake, "awake@example.com").await;

    for it in [&awake, &asleep, &off] {
        make_old(&it.dir().record(), INSTANCE);
    }
    make_old(&asleep.dir().suspension(), SUSPENDED);
    make_old(&awake.dir().live(), LIVE);
    let snapshots = awake.home().snapshots();
    let [snapshot] = &snapshots[..] else { panic!("not one snapshot: {snapshots:?}") };
    make_old(&awake.dir().snapshot(snapshot).manifest(), SNAPSHOT);

    let list = awake.run(&["list", "-o", "json"]).await.expect(0).json();
    let state = |it: &Value| (it["name"].clone(), it["state"].clone(), it["reasons"].clone());
    let states: Vec<_> = list["instances"].as_array().unwrap().iter().map(state).collect();
    let expected = [("asleep", "suspended"), ("default", "running"), ("off", "stopped")];
    assert_eq!(states, expected.map(|(name, state)| (json!(name), json!(state), json!([]))));

    let joined = awake.start(&[]).await;
    assert_eq!(joined.report["alreadyRunning"], true);
    kept(&joined, &was_awake, "awake@example.com").await;
    let live: Value = serde_json::from_slice(&fs::read(awake.dir().live()).unwrap()).unwrap();
    assert_eq!(live["schemaVersion"], 2, "it was not rewritten");
    awake.finish().await;
    kept(&awake.start(&[]).await.by("suspended"), &was_awake, "awake@example.com").await;
    awake.finish().await;
    kept(&asleep.start(&[]).await.by("suspended"), &was_asleep, "asleep@example.com").await;
    asleep.finish().await;
    kept(&off.start(&[]).await.by("cold"), &was_off, "off@example.com").await;
    off.finish().await;

    // The snapshot is used as it was, and a deleted instance leaves the others their data.
    let new = awake.instance("new");
    new.start(&[]).await.by("snapshot");
    assert_eq!(awake.home().snapshots(), snapshots);
    new.run(&["delete", "--yes"]).await.expect(0);
    assert!(!new.dir().root().exists());
    kept(&asleep.start(&[]).await.by("suspended"), &was_asleep, "asleep@example.com").await;
    asleep.finish().await;
    awake.assert_tidy().await;
}
