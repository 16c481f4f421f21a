//! A home that is moved: everything in it continues to work in the new place. One that is copied is another one.

use std::fs;
use std::os::unix::fs::symlink;

use base::process::Cmd;
use vm::home::HOME_VARIABLE;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};

#[tokio::test]
async fn a_suspended_machine_goes_on_in_a_home_that_was_moved() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, "moved@example.com").await;
    emulator.finish().await;

    let root = emulator.home().home().root();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("home");
    fs::rename(root, &moved).unwrap();
    let run = finished(emulator.command(&START).env(HOME_VARIABLE, &moved).spawn().unwrap()).await;
    // For everything that looks at the machine from here on, and ends it if this test fails.
    symlink(&moved, root).unwrap();
    let again = emulator.started(run).await.by("suspended");
    assert_eq!(again.secrets, started.secrets);
    assert!(users(&again).await.contains(&"moved@example.com".to_owned()));

    let stop = emulator.command(&["stop", "-o", "json"]).env(HOME_VARIABLE, &moved).spawn().unwrap();
    assert_eq!(finished(stop).await.expect(0).json()["state"], "suspended");
    fs::remove_file(root).unwrap();
    fs::rename(&moved, root).unwrap();
    emulator.start(&[]).await.by("suspended");
    emulator.finish().await;
}

#[tokio::test]
async fn a_copy_of_the_home_of_a_running_machine_leaves_it_alone() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let root = emulator.home().home().root();
    let elsewhere = tempfile::tempdir().unwrap();
    let copy = elsewhere.path().join("home");
    let copied = Cmd::new("cp").args(["-a", "--sparse=always"]).arg(root).arg(&copy);
    copied.output().await.unwrap();
    let in_copy = async |args: &[&str]| {
        finished(emulator.command(args).env(HOME_VARIABLE, &copy).spawn().unwrap()).await
    };

    let status = in_copy(&["status", "-o", "json"]).await.expect(1).json();
    assert_eq!(status["state"], "broken", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("a copy of an instance that runs"), "{status}");
    let stop = in_copy(&["stop", "-o", "json"]).await.expect(0).json();
    assert_eq!(stop["ending"], "was-gone", "{stop}");
    in_copy(&["reset", "--yes"]).await.expect(0);

    let status = emulator.run(&["status", "-o", "json"]).await.expect(0).json();
    assert_eq!(status["pid"], started.report["pid"], "{status}");
    emulator.finish().await;
    emulator.assert_tidy().await;
}
