//! What is left when something is killed, and how the next command recovers.

use std::time::Duration;

use base::wait;
use rustix::process::Signal;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::ports::START;
use vm_tests::processes;
use vm_tests::stack::{keys, placeholders, sign_up, statuses, users};

/// Longest wait for QEMU; the first start of all makes the snapshot too.
const LAUNCH_LIMIT: Duration = Duration::from_mins(3);

#[tokio::test]
async fn a_killed_qemu_is_reported_and_booted_with_data_and_secrets() {
    kill_of_qemu(Emulator::for_amd64()).await;
}

pub(crate) async fn kill_of_qemu(emulator: Emulator) {
    let started = emulator.start(&[]).await;
    sign_up(&started, "kept@example.com").await;
    let process = emulator.live().and_then(|live| live.machine.process).expect("it runs");
    emulator.kill_qemu().await;

    let status = emulator.run(&["status"]).await.expect(1);
    assert!(status.stdout.contains(&process.pid.to_string()), "{}", status.stdout);
    let again = emulator.start(&[]).await.by("cold");
    assert_eq!(again.secrets, started.secrets);
    let backend = again.api("backend");
    assert_eq!(statuses(&backend, &keys(&again)).await, [200; 3]);
    assert_eq!(statuses(&backend, &placeholders(&emulator)).await, [401; 3]);
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));

    emulator.run(&["reset", "--yes"]).await.expect(0);
    let fresh = emulator.start(&[]).await.by("snapshot");
    assert!(!users(&fresh).await.contains(&"kept@example.com".to_owned()));
    assert_ne!(fresh.secrets, started.secrets);
    emulator.finish().await;
}

#[tokio::test]
async fn a_start_boots_while_a_killed_qemu_is_still_ending() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, "kept@example.com").await;
    let process = emulator.live().and_then(|live| live.machine.process).expect("it runs");
    processes::send(process.pid, Signal::KILL);
    let again = emulator.start(&[]).await.by("cold");
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn a_read_only_file_system_in_the_guest_turns_health_and_status() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let guest = emulator.guest();
    guest.sh("sync; echo u > /proc/sysrq-trigger").await;
    let backend = started.api("backend");
    let sick = async || {
        let health = backend.get("/health?db=1").await;
        (health.status == 503 && health.body.to_string().contains("disk cannot be written")).then_some(())
    };
    wait::until(Duration::from_mins(1), sick).await.expect("health notices");
    let status = emulator.run(&["status"]).await.expect(1);
    assert!(status.stdout.contains("disk cannot be written"), "{}", status.stdout);
    emulator.run(&["reset", "--yes"]).await.expect(0);
}

#[tokio::test]
async fn ctrl_c_during_start_leaves_nothing_running() {
    let emulator = Emulator::for_amd64();
    let child = emulator.spawn(&[&START[..], &["--no-snapshot"]].concat());
    let launched = async || emulator.live().and_then(|live| live.machine.process);
    let process = wait::until(LAUNCH_LIMIT, launched).await.expect("QEMU is started");
    processes::send(child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs"), Signal::INT);
    let run = finished(child).await.expect(130);
    assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
    assert!(!process.is_alive().unwrap());
    emulator.run(&["status"]).await.expect(3);
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_resume_that_is_cut_short_keeps_the_memory_or_says_that_it_is_gone() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    for signal in [Signal::INT, Signal::KILL] {
        for after in (20..=200).step_by(45).map(Duration::from_millis) {
            emulator.finish().await;
            let child = emulator.spawn(&START);
            tokio::time::sleep(after).await;
            processes::send(child.id().and_then(|pid| i32::try_from(pid).ok()).expect("it runs"), signal);
            let cut = finished(child).await;
            let again = emulator.start(&[]).await;
            let said = format!("{}{}", cut.stderr, again.said);
            // One that had ended before the signal came is still running.
            let lost = again.report["startedBy"] == "cold";
            assert_eq!(said.contains("is used up"), lost, "{signal:?} after {after:?}: {said}");
        }
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_machine_that_is_being_suspended_is_shown_as_stopping() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    let stop = emulator.spawn(&["stop"]);
    let mut seen = Vec::new();
    loop {
        let run = emulator.run(&["status", "-o", "json"]).await;
        let state = run.json()["state"].as_str().unwrap().to_owned();
        assert_ne!((run.code, state.as_str()), (1, "running"), "{}", run.stdout);
        seen.push(state);
        if seen.last().is_some_and(|state| state == "suspended") {
            break;
        }
    }
    finished(stop).await.expect(0);
    assert!(seen.contains(&"stopping".to_owned()), "{seen:?}");
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_service_turns_health_and_status_when_it_fails_and_when_it_returns() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let backend = started.api("backend");
    let guest = emulator.guest();

    guest.sh("systemctl stop stack-postgres").await;
    let health = backend.get("/health?db=1").await;
    assert_eq!(health.status, 503, "{:?}", health.body);
    let status = emulator.run(&["status"]).await.expect(1);
    assert!(status.stdout.contains("503"), "{}", status.stdout);
    assert!(status.stdout.to_lowercase().contains("postgres"), "{}", status.stdout);

    guest.sh("systemctl start stack-postgres").await;
    let healthy = async || (backend.get("/health?db=1").await.status == 200).then_some(());
    wait::until(Duration::from_mins(1), healthy).await.expect("the backend finds the database again");
    emulator.run(&["status"]).await.expect(0);
    emulator.finish().await;
}
