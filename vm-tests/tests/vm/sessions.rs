//! Sessions: data survives stops, crashes and suspensions, and memory is resumed only with its own disk.

use std::fs;
use std::time::SystemTime;

use serde_json::json;
use vm_tests::disk;
use vm_tests::emulator::Emulator;
use vm_tests::load::Load;
use vm_tests::stack::{backend, sign_up, users};

use crate::faults::assert_because;

/// How often the machine under load is suspended.
const ROUNDS: usize = 10;

/// Users that are made in each round before the machine is suspended.
const WRITES: usize = 5;

#[tokio::test]
async fn a_suspended_session_resumes_with_its_data_until_a_reset() {
    suspended_session(Emulator::for_amd64()).await;
}

pub(crate) async fn suspended_session(emulator: Emulator) {
    let started = emulator.start(&[]).await.by("snapshot");
    let session = sign_up(&started, "kept@example.com").await;
    let boot = emulator.guest().sh("cat /proc/sys/kernel/random/boot_id").await;
    let stopped = emulator.stop(&[], "suspended").await.json();
    assert_eq!(stopped["ending"], "suspended");

    let again = emulator.start(&[]).await.by("suspended");
    assert_eq!(again.secrets, started.secrets);
    assert_eq!(emulator.guest().sh("cat /proc/sys/kernel/random/boot_id").await, boot);
    let logs = emulator.run(&["logs", "postgres"]).await.expect(0).stdout;
    assert!(!logs.contains("client"), "a connection did not end in order: {logs}");
    let token = session["access_token"].as_str().expect("an access token");
    let me = backend(&again, "client").with("x-stack-access-token", token).get("/api/v1/users/me").await;
    assert_eq!((me.status, &me.body["primary_email"]), (200, &json!("kept@example.com")));
    for file in [emulator.dir().suspension(), emulator.dir().memory(), emulator.dir().devices()] {
        assert!(!file.exists(), "{} could be used twice", file.display());
    }

    emulator.finish().await;
    emulator.run(&["reset", "--yes"]).await.expect(0);
    assert!(!emulator.dir().memory().exists() && !emulator.dir().overlay().exists());
    let fresh = emulator.start(&[]).await.by("snapshot");
    assert!(!users(&fresh).await.contains(&"kept@example.com".to_owned()));
    assert!(fresh.secrets.values().all(|value| !started.secrets.values().any(|old| old == value)));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn memory_never_goes_on_beside_a_disk_that_has_moved_on() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, "first@example.com").await;
    emulator.finish().await;
    // A user keeps a copy of the saved state, resumes, and restores the copy after a crash, like a backup.
    let dir = emulator.dir();
    let saved = [dir.suspension(), dir.memory(), dir.devices()].map(|file| {
        let copy = emulator.home().scratch(file.file_name().unwrap().to_str().unwrap());
        fs::hard_link(&file, &copy).unwrap();
        (file, copy)
    });
    let again = emulator.start(&[]).await.by("suspended");
    sign_up(&again, "second@example.com").await;
    emulator.kill_qemu().await;
    for (file, copy) in saved {
        fs::rename(copy, file).unwrap();
    }
    let booted = emulator.start(&[]).await.by("cold");
    assert_because(&booted, "generation");
    let found = users(&booted).await;
    assert!(
        ["first@example.com", "second@example.com"].iter().all(|user| found.contains(&(*user).to_owned()))
    );

    emulator.finish().await;
    fs::File::open(dir.overlay()).unwrap().set_modified(SystemTime::now()).unwrap();
    let booted = emulator.start(&[]).await.by("cold");
    assert_because(&booted, "its disk has been changed");
    assert_eq!(booted.secrets, started.secrets);
    assert!(users(&booted).await.contains(&"second@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn suspending_under_load_loses_nothing_that_was_answered() {
    suspending_under_load(Emulator::for_amd64()).await;
}

pub(crate) async fn suspending_under_load(emulator: Emulator) {
    let mut started = emulator.start(&[]).await;
    let mut written = Vec::new();
    for round in 0..ROUNDS {
        let load = Load::begin(&started, round);
        load.has_written(WRITES).await;
        emulator.finish().await;
        written.extend(load.end().await);
        started = emulator.start(&[]).await.by("suspended");
    }
    let found = users(&started).await;
    let lost: Vec<_> = written.iter().filter(|email| !found.contains(email)).collect();
    assert!(lost.is_empty(), "lost {lost:?} of {}", written.len());

    let guest = emulator.guest();
    // Every table and index of every database, each index against its table.
    guest.sh("runuser -u postgres -- /usr/lib/postgresql/*/bin/pg_amcheck --all --install-missing --heapallindexed").await;
    emulator.stop(&["--shutdown"], "stopped").await;
    disk::assert_sound(&emulator).await;
}
