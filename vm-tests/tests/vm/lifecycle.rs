//! Start, stop, reset: data, idempotence, two at once.

use serde_json::json;
use vm_tests::emulator::{Emulator, finished};

use crate::smoke::{sign_up, users};

#[tokio::test]
async fn data_survives_stop_and_goes_with_reset() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&emulator, &started, "kept@example.com").await;

    emulator.run(&["stop"]).await.expect(0);
    let status = emulator.run(&["status", "-o", "json"]).await.expect(3).json();
    assert_eq!(status["state"], "stopped");
    let started = emulator.start(&[]).await;
    assert!(users(&emulator, &started).await.contains(&"kept@example.com".to_owned()));

    emulator.run(&["reset", "--yes"]).await.expect(0);
    let started = emulator.start(&[]).await;
    assert!(!users(&emulator, &started).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn starting_twice_at_once_gives_one_machine_and_two_successes() {
    let emulator = Emulator::for_amd64();
    let args = ["start", "-o", "json", "--port", "backend=auto", "--port", "dashboard=auto"];
    let (first, second) = tokio::join!(finished(emulator.spawn(&args)), finished(emulator.spawn(&args)));
    let (first, second) = (first.expect(0).json(), second.expect(0).json());
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(first["ports"], second["ports"]);
    assert_eq!(first["startedBy"], json!("cold"));
    emulator.finish().await;
}

#[tokio::test]
async fn stopping_twice_is_no_error() {
    let emulator = Emulator::for_amd64();
    emulator.run(&["stop"]).await.expect(0);
    emulator.start(&[]).await;
    emulator.finish().await;
    emulator.run(&["stop"]).await.expect(0);
}

#[tokio::test]
async fn a_busy_port_is_reported_with_its_owner_before_anything_starts() {
    let emulator = Emulator::for_amd64();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = emulator
        .run(&["start", "--port", &format!("backend={port}"), "--port", "dashboard=auto"])
        .await
        .expect(1);
    assert!(run.stderr.contains(&port.to_string()), "{}", run.stderr);
    assert!(run.stderr.contains(&std::process::id().to_string()), "{}", run.stderr);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    assert!(emulator.live().is_none());
}
