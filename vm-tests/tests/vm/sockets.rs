//! The directory with the sockets is removed while the machine runs, as by a process that cleans up where everyone may write.

use std::fs;

use vm_tests::emulator::Emulator;
use vm_tests::stack::{sign_up, users};

/// The user that must not be lost.
const USER: &str = "reached@example.com";

#[tokio::test]
async fn a_machine_without_its_sockets_is_still_reached_and_loses_nothing() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;

    remove_sockets(&emulator);
    let status = emulator.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["healthy"], true, "{status}");
    emulator.run(&["rotate"]).await.expect(0);
    assert_ne!(emulator.secrets().await, started.secrets);

    remove_sockets(&emulator);
    let logs = emulator.run(&["logs", "backend", "--lines", "1"]).await.expect(0);
    assert!(!logs.stdout.is_empty());
    // The guest's own way in, of the tests, goes through what was made again.
    assert_eq!(emulator.guest().sh("echo there").await, "there");

    remove_sockets(&emulator);
    emulator.run(&["start"]).await.expect(0);
    remove_sockets(&emulator);
    let run = emulator.stop(&[], "suspended").await;
    assert!(!run.stderr.contains("has not synced"), "{}", run.stderr);

    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    remove_sockets(&emulator);
    let run = emulator.stop(&["--shutdown"], "stopped").await;
    assert_eq!(run.json()["ending"], "powered-off", "{}", run.stderr);
    let booted = emulator.start(&[]).await.by("cold");
    assert!(users(&booted).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

/// Removes the directory of this machine; those of other tests are next to it.
fn remove_sockets(emulator: &Emulator) {
    let live = emulator.live().expect("it runs");
    fs::remove_dir_all(live.machine.qga.parent().unwrap()).unwrap();
    assert!(live.machine.qmp.starts_with(emulator.dir().root()), "the monitor's is in the home");
}
