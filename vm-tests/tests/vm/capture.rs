//! Captures: created once, created again on request, and never at the cost of existing data.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::wait;
use rustix::process::Signal;
use serde_json::{Value, json};
use vm_tests::emulator::{Emulator, finished};
use vm_tests::followed::Followed;
use vm_tests::ports::START;
use vm_tests::processes;
use vm_tests::stack::{sign_up, users};

/// A capture that a program reads.
const CAPTURE: [&str; 3] = ["capture", "-o", "json"];

/// Longest wait for QEMU to be started.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_capture_runs_once_or_by_force_and_a_used_snapshot_stays() {
    let emulator = Emulator::without_snapshots();
    let first = capture(&emulator, &[]).await;
    assert!(took_a_boot(&first));
    let found = capture(&emulator, &[]).await;
    assert_eq!((&found["snapshot"], took_a_boot(&found)), (&first["snapshot"], false));

    sign_up(&emulator.start(&[]).await.by("snapshot"), "kept@example.com").await;
    emulator.finish().await;
    let second = capture(&emulator, &["--force"]).await;
    assert_ne!(second["snapshot"], first["snapshot"]);
    assert_eq!(emulator.home().snapshots(), [name(&first), name(&second)], "an instance needs the first");
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));
    emulator.run(&["reset", "--yes"]).await.expect(0);

    let mut interrupted = Followed::spawn(&emulator, &[&CAPTURE[..], &["--force"]].concat());
    interrupted.until("Warm up the services").await;
    interrupted.send(Signal::INT);
    let run = interrupted.finished().await.expect(130);
    assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
    emulator.assert_tidy().await;
    assert_eq!(capture(&emulator, &[]).await["snapshot"], second["snapshot"]);

    let third = capture(&emulator, &["--force"]).await;
    assert_eq!(emulator.home().snapshots(), [name(&third)], "the others are unused");
}

#[tokio::test]
async fn a_mapped_ram_snapshot_resumes_and_its_raw_file_is_restored() {
    let emulator = Emulator::for_amd64();
    let captured = capture(&emulator, &["--strategy", "mapped-ram"]).await;
    assert_eq!(captured["strategy"], json!("mapped-ram"));
    let raw = Path::new(captured["dir"].as_str().unwrap()).join("stack-emulator-amd64.savevm.raw");
    fs::remove_file(&raw).unwrap();
    let started = emulator.start(&["--strategy", "mapped-ram"]).await.by("snapshot");
    assert!(raw.is_file());
    assert!(emulator.dir().overlay().is_file());
    sign_up(&started, "kept@example.com").await;

    // Its memory is in no file of its own, so QEMU has to write it.
    emulator.finish().await;
    assert!(emulator.dir().savevm().is_file());
    let again = emulator.start(&[]).await.by("suspended");
    assert_eq!(again.secrets, started.secrets);
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn what_a_crash_of_qemu_has_ended_is_done_once_more() {
    let emulator = Emulator::without_snapshots();
    let capturing = emulator.spawn(&CAPTURE);
    crash(&emulator).await;
    let captured = finished(capturing).await.expect(0);
    assert!(captured.stderr.contains("booting it once more"), "{}", captured.stderr);

    let starting = emulator.spawn(&START);
    crash(&emulator).await;
    let started = emulator.started(finished(starting).await).await.by("snapshot");
    assert!(started.said.contains("resuming from the snapshot once more"), "{}", started.said);
    emulator.finish().await;
    emulator.assert_tidy().await;
    assert_eq!(emulator.home().snapshots().len(), 1, "the snapshot was not the cause");
}

/// Ends the next QEMU as a failed assertion does.
async fn crash(emulator: &Emulator) {
    let qemu = async || {
        let members = processes::of(emulator.home().home().root());
        members.into_iter().find(|member| member.command_line.contains("qemu-system"))
    };
    let qemu = wait::until(LIMIT, qemu).await.unwrap();
    processes::send(qemu.pid, Signal::ABORT);
}

async fn capture(emulator: &Emulator, more: &[&str]) -> Value {
    emulator.run(&[&CAPTURE[..], more].concat()).await.expect(0).json()
}

fn name(captured: &Value) -> String {
    let dir = PathBuf::from(captured["dir"].as_str().expect("a path"));
    dir.file_name().expect("it has a name").to_string_lossy().into_owned()
}

fn took_a_boot(captured: &Value) -> bool {
    captured["phases"]
        .as_array()
        .expect("`phases` is an array")
        .iter()
        .any(|phase| phase["phase"] == "capture-boot")
}
