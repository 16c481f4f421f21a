//! One home that is shared by namespaces, as containers do: never two machines on one disk, never an untrue answer, and each command
//! says what it cannot see.

use std::process::Stdio;
use std::time::Duration;

use base::wait;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use vm_tests::emulator::{Emulator, Run, finished};
use vm_tests::ports::START;
use vm_tests::stack::{sign_up, users};

/// What runs a program in a process table of its own.
const PIDS: [&str; 4] = ["unshare", "--pid", "--fork", "--mount-proc"];

/// In a network of its own, which is down.
const NETWORK: [&str; 2] = ["unshare", "--net"];

/// In a network of its own, whose loopback interface is up.
const LOOPBACK: [&str; 6] = ["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];

/// In both.
const BOTH: [&str; 5] = ["unshare", "--net", "--pid", "--fork", "--mount-proc"];

/// In a process table that lives until its input ends.
const HELD_PIDS: [&str; 8] =
    ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", "\"$@\" < /dev/null && cat", "sh"];

/// How long a start in there may take, with a boot.
const START_LIMIT: Duration = Duration::from_mins(5);

/// The user that must outlive it all.
const USER: &str = "shared@example.com";

#[tokio::test]
async fn no_command_touches_a_machine_out_of_sight_and_each_says_so() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    for place in [&PIDS[..], &BOTH[..]] {
        assert_elsewhere(&emulator, place).await;
        assert_untouched(&emulator, &started.report).await;
    }
    assert!(users(&started).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_machine_of_another_network_can_be_told_and_stopped_but_not_used() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    for place in [&NETWORK[..], &LOOPBACK[..]] {
        let status = within(&emulator, place, &["status", "-o", "json"]).await.expect(1).json();
        assert_eq!((&status["state"], &status["healthy"]), (&"running".into(), &false.into()), "{status}");
        let reasons = status["reasons"].to_string();
        assert!(reasons.contains("is in another network namespace"), "{reasons}");
        let start = within(&emulator, place, &START).await.expect(1);
        assert!(start.stderr.contains("its ports are in another network namespace"), "{}", start.stderr);
        // What needs no port works.
        within(&emulator, place, &["rotate"]).await.expect(0);
        let logs = within(&emulator, place, &["logs", "backend"]).await.expect(0);
        assert!(!logs.stdout.is_empty());
        within(&emulator, place, &["capture"]).await.expect(0);
        assert_untouched(&emulator, &started.report).await;
    }
    let stop = within(&emulator, &NETWORK, &["stop", "-o", "json"]).await.expect(0).json();
    assert_eq!(stop["state"], "suspended", "{stop}");
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_machine_that_ended_with_its_namespace_is_booted_with_its_data() {
    let emulator = Emulator::for_amd64();
    sign_up(&emulator.start(&[]).await, USER).await;
    emulator.finish().await;

    let mut command = emulator.command_within(&HELD_PIDS, &START);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let ready = async || emulator.live()?.run.ready.map(drop);
    wait::until(START_LIMIT, ready).await.expect("it starts in there");
    assert_elsewhere(&emulator, &[]).await;
    // Processes in there can use it. The input of the first process of the namespace ends, and it with all others.
    child.stdin.take().unwrap().shutdown().await.unwrap();
    assert_eq!(finished(child).await.expect(0).json()["startedBy"], "suspended");

    let status = emulator.run(&["status", "-o", "json"]).await.expect(1).json();
    assert_eq!(status["state"], "broken", "{status}");
    assert!(status["reasons"][0].as_str().unwrap().contains("is gone"), "{status}");
    let booted = emulator.start(&[]).await.by("cold");
    assert!(users(&booted).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

/// Every command, given where it cannot see the machine that runs.
async fn assert_elsewhere(emulator: &Emulator, place: &[&str]) {
    let status = within(emulator, place, &["status", "-o", "json"]).await.expect(1).json();
    assert_eq!((&status["state"], &status["healthy"]), (&"elsewhere".into(), &Value::Null), "{status}");
    let reason = status["reasons"][0].as_str().unwrap();
    assert!(is_told(reason), "{reason}");
    let commands: [&[&str]; 6] =
        [&START, &["stop"], &["reset", "--yes"], &["rotate"], &["logs"], &["logs", "backend"]];
    for command in commands {
        let run = within(emulator, place, command).await.expect(1);
        assert!(is_told(&run.stderr), "{command:?}:\n{}", run.stderr);
    }
    within(emulator, place, &["logs", "serial"]).await.expect(0);
    within(emulator, place, &["capture"]).await.expect(0);
}

/// Whether it says where the machine is, and what to do.
fn is_told(text: &str) -> bool {
    text.contains("in another container (host `") && text.contains("stop it where it was started")
}

/// The machine continues as if no one had looked.
async fn assert_untouched(emulator: &Emulator, report: &Value) {
    let status = emulator.run(&["status", "-o", "json"]).await.expect(0).json();
    for key in ["pid", "ports"] {
        assert_eq!(status[key], report[key], "{status}");
    }
}

async fn within(emulator: &Emulator, place: &[&str], args: &[&str]) -> Run {
    finished(emulator.command_within(place, args).spawn().unwrap()).await
}
