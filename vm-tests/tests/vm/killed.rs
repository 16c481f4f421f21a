//! A start at every phase of which something is killed.

use std::time::Duration;

use base::wait;
use instances::home::HomeExt;
use rustix::process::Signal;
use vm_tests::emulator::{Emulator, Started};
use vm_tests::followed::Followed;
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};

use crate::faults::assert_because;

/// The user that must outlive every kill.
const USER: &str = "kept@example.com";

/// The phases of a start that resumes from saved memory, from the first on that changes something, as `--verbose` names their
/// beginnings.
const PHASES: [&str; 5] = [
    "Prepare the disk …",
    "Launch QEMU …",
    "Load memory and devices …",
    "Set clock, ",
    "Check service health …",
];

/// Keeps a resumed machine from being healthy, so that its start lasts until it is killed. After a boot all is well.
const UNHEALTHY: &str = "systemctl stop stack-redis";

/// Longest wait for a process to appear in the record or to end.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::test]
async fn a_new_session_starts_after_a_program_killed_at_any_phase() {
    let emulator = Emulator::for_amd64();
    // The last one is over too soon to be met for sure: it is made longer below, where the guest can be changed before.
    for phase in &PHASES[..4] {
        kill_start_at(&emulator, phase).await;
        let orphan = emulator.live().and_then(|live| live.machine.process);

        emulator.start(&[]).await.by("snapshot");
        if let Some(orphan) = orphan {
            assert!(!orphan.is_alive().unwrap(), "two machines on one disk at `{phase}`");
        }
        emulator.run(&["reset", "--yes"]).await.expect(0);
        emulator.assert_tidy().await;
    }
}

#[tokio::test]
async fn a_program_killed_after_a_resume_leaves_the_data_to_the_next_start() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    for phase in ["Load memory and devices …", "Check service health …"] {
        emulator.guest().sh(UNHEALTHY).await;
        emulator.finish().await;
        kill_start_at(&emulator, phase).await;
        let again = emulator.start(&[]).await.by("cold");
        assert_eq!(again.secrets, started.secrets, "{phase}");
        assert!(users(&again).await.contains(&USER.to_owned()), "{phase}");
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_program_killed_before_a_resume_leaves_memory_to_the_next_start() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    for phase in &PHASES[..2] {
        emulator.finish().await;
        kill_start_at(&emulator, phase).await;
        let again = emulator.start(&[]).await.by("suspended");
        assert_eq!(again.secrets, started.secrets, "{phase}");
        assert!(users(&again).await.contains(&USER.to_owned()), "{phase}");
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_qemu_killed_at_any_phase_of_a_resume_leads_to_a_boot_with_data() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    for phase in &PHASES[1..] {
        emulator.guest().sh(UNHEALTHY).await;
        emulator.finish().await;
        let booted = start_without_qemu_from(&emulator, phase).await;
        assert_eq!(booted.secrets, started.secrets, "{phase}");
        assert!(users(&booted).await.contains(&USER.to_owned()), "{phase}");
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_qemu_that_is_killed_while_it_resumes_costs_no_snapshot() {
    let emulator = Emulator::for_amd64();
    start_without_qemu_from(&emulator, PHASES[1]).await;
    emulator.finish().await;
    emulator.run(&["reset", "--yes"]).await.expect(0);
    emulator.start(&[]).await.by("snapshot");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

/// Starts, kills QEMU when `phase` is reported, and returns what came of that: a boot.
async fn start_without_qemu_from(emulator: &Emulator, phase: &str) -> Started {
    let mut start = Followed::spawn(emulator, &START);
    start.until(phase).await;
    let launched = async || emulator.live().and_then(|live| live.machine.process);
    wait::until(LIMIT, launched).await.expect("QEMU is recorded");
    emulator.kill_qemu().await;
    let booted = emulator.started(start.finished().await).await.by("cold");
    assert_because(&booted, "QEMU ended before the services were ready");
    booted
}

#[tokio::test]
async fn a_qemu_killed_while_it_boots_fails_the_start_without_leftovers() {
    let emulator = Emulator::for_amd64();
    let mut start = Followed::spawn(&emulator, &[&START[..], &["--no-snapshot"]].concat());
    start.until("Boot …").await;
    emulator.kill_qemu().await;
    let run = start.finished().await.expect(1);
    assert!(run.stderr.contains("QEMU ended before the services were ready"), "{}", run.stderr);
    assert_eq!(emulator.run(&["status", "-o", "json"]).await.expect(3).json()["state"], "absent");
    assert!(!emulator.dir().overlay().exists());
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_killed_capture_is_cleaned_up_and_two_at_once_make_one() {
    let emulator = Emulator::without_snapshots();
    let mut cut_short = Followed::spawn(&emulator, &START);
    cut_short.until("Boot a machine for the snapshot …").await;
    let left =
        async || unfinished(&emulator).first().cloned().filter(|dir| dir.join("process.json").exists());
    let left = wait::until(LIMIT, left).await.expect("the capture notes its QEMU");
    cut_short.send(Signal::KILL);
    cut_short.finished().await;
    assert!(left.exists(), "no process was there to remove it");

    let other = emulator.instance("other");
    let (first, second) = tokio::join!(emulator.start(&[]), other.start(&[]));
    let (first, second) = (first.by("snapshot"), second.by("snapshot"));
    assert_eq!(emulator.home().snapshots().len(), 1);
    assert!(first.secrets.values().all(|value| !second.secrets.values().any(|other| other == value)));
    assert!(unfinished(&emulator).is_empty());
    other.finish().await;
    emulator.finish().await;
    emulator.assert_tidy().await;
}

/// Starts, and kills the program when it reports `phase`.
async fn kill_start_at(emulator: &Emulator, phase: &str) {
    let mut cut_short = Followed::spawn(emulator, &START);
    cut_short.until(phase).await;
    cut_short.send(Signal::KILL);
    assert_eq!(cut_short.finished().await.code, 128 + 9);
}

/// Directories of snapshots that are being made, or never were.
fn unfinished(emulator: &Emulator) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(emulator.home().home().snapshots()).unwrap().map(Result::unwrap);
    let unfinished = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".capture-"));
    unfinished.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}
