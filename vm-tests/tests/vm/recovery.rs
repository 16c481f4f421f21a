//! What is left when something is killed, and how the next command recovers.

use std::time::Duration;

use host::wait;
use rustix::process::{Pid, Signal, kill_process};
use vm_tests::emulator::{Emulator, finished};
use vm_tests::guest::Guest;

use crate::smoke::{sign_up, users};

#[tokio::test]
async fn after_a_kill_of_qemu_status_says_so_and_start_recovers_with_the_data() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&emulator, &started, "kept@example.com").await;
    let process = emulator.live().and_then(|live| live.process).expect("it runs");
    kill_process(Pid::from_raw(process.pid).unwrap(), Signal::KILL).unwrap();
    wait::until(Duration::from_secs(10), async || (!process.is_alive().unwrap()).then_some(()))
        .await
        .unwrap();

    let status = emulator.run(&["status"]).await.expect(1);
    assert!(status.stdout.contains(&process.pid.to_string()), "{}", status.stdout);
    let started = emulator.start(&[]).await;
    assert!(users(&emulator, &started).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn ctrl_c_during_start_leaves_nothing_running() {
    let emulator = Emulator::for_amd64();
    let child = emulator.spawn(&["start", "--port", "backend=auto", "--port", "dashboard=auto"]);
    let launched = async || emulator.live().and_then(|live| live.process);
    let process = wait::until(Duration::from_mins(1), launched).await.expect("QEMU is started");
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let run = finished(child).await.expect(130);
    assert!(run.stderr.contains("interrupted"), "{}", run.stderr);
    assert!(!process.is_alive().unwrap());
    emulator.run(&["status"]).await.expect(3);
}

#[tokio::test]
async fn a_start_that_was_killed_is_cleaned_up_by_the_next() {
    let emulator = Emulator::for_amd64();
    let mut child = emulator.spawn(&["start", "--port", "backend=auto", "--port", "dashboard=auto"]);
    let launched = async || emulator.live().and_then(|live| live.process);
    let orphan = wait::until(Duration::from_mins(1), launched).await.expect("QEMU is started");
    child.kill().await.unwrap();
    assert!(orphan.is_alive().unwrap());

    emulator.start(&[]).await;
    assert!(!orphan.is_alive().unwrap());
    emulator.finish().await;
}

#[tokio::test]
async fn a_service_that_fails_turns_health_and_status_and_its_return_turns_them_back() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    let backend = started.api("backend");
    let guest = Guest::new(emulator.live().expect("it runs"));

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
