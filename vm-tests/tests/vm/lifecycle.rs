//! Start, stop, reset: idempotence, two at once, and the ways that need no saved memory.

use vm_tests::emulator::{Emulator, finished};
use vm_tests::ports::{PORTS, START};
use vm_tests::stack::{sign_up, users};

#[tokio::test]
async fn a_boot_without_a_snapshot_and_a_shutdown_keep_data_and_secrets() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&["--no-snapshot"]).await.by("cold");
    assert_eq!(started.report["coldBecause"], serde_json::Value::Null, "nothing else was asked for");
    sign_up(&started, "kept@example.com").await;

    let stopped = emulator.stop(&["--shutdown"], "stopped").await.json();
    assert_eq!(stopped["ending"], "powered-off");
    let again = emulator.start(&[]).await.by("cold");
    assert_eq!(again.secrets, started.secrets);
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn a_machine_that_went_on_from_saved_memory_powers_off_in_order() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await.by("snapshot");
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    let stopped = emulator.stop(&["--shutdown"], "stopped").await.json();
    assert_eq!(stopped["ending"], "powered-off");
    emulator.run(&["reset", "--yes"]).await.expect(0);
    emulator.start(&[]).await.by("snapshot");
    let stopped = emulator.stop(&["--shutdown"], "stopped").await.json();
    assert_eq!(stopped["ending"], "powered-off");
    assert!(!emulator.dir().failed_stop().exists());
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn starting_twice_at_once_gives_one_machine_and_two_successes() {
    let emulator = Emulator::for_amd64();
    let (first, second) = tokio::join!(finished(emulator.spawn(&START)), finished(emulator.spawn(&START)));
    let (first, second) = (first.expect(0).json(), second.expect(0).json());
    assert_eq!(first["pid"], second["pid"]);
    assert_eq!(first["ports"], second["ports"]);
    assert_eq!(first["startedBy"], "snapshot");
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
    let [busy, others @ ..] = &PORTS[..] else { panic!("the image has no port") };
    let busy = format!("--port={}={port}", busy.name);
    let others = others.iter().map(|port| format!("--port={}=auto", port.name));
    let args: Vec<_> = ["start".to_owned(), busy].into_iter().chain(others).collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    let run = emulator.run(&args).await.expect(1);
    assert!(run.stderr.contains(&port.to_string()), "{}", run.stderr);
    assert!(run.stderr.contains(&std::process::id().to_string()), "{}", run.stderr);
    assert!(run.stderr.contains("hint:"), "{}", run.stderr);
    assert!(emulator.live().is_none());
}
