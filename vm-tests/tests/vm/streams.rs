//! Output that programs read: whole JSON with stderr closed and off a terminal, logs from every source.

use std::process::Stdio;

use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::ports::START;

#[tokio::test]
async fn json_and_logs_work_off_a_terminal_with_stderr_closed() {
    let emulator = Emulator::for_amd64();
    let started = run_without_stderr(&emulator, &START).await;
    assert_eq!(started["schemaVersion"], 1);
    assert_eq!(started["startedBy"], "snapshot");
    assert!(!started["phases"].as_array().expect("`phases` is an array").is_empty());
    for command in [&["status", "-o", "json"][..], &["doctor", "-o", "json"], &["version", "-o", "json"]] {
        assert_eq!(run_without_stderr(&emulator, command).await["schemaVersion"], 1, "{command:?}");
    }
    // A machine that resumes from a snapshot has nothing to write to its console.
    emulator.guest().sh("echo console > /dev/console").await;
    for source in ["backend", "dashboard", "cron", "postgres", "redis", "serial", "qemu"] {
        let run = emulator.run(&["logs", source, "-n", "5"]).await.expect(0);
        assert!(source == "qemu" || !run.stdout.is_empty(), "no log of {source}");
        assert!(run.stdout.lines().count() <= 5, "{source}:\n{}", run.stdout);
    }
    logs_are_selected_by_time(&emulator).await;
    emulator.finish().await;
    let stopped = emulator.run(&["logs", "serial"]).await.expect(0);
    assert!(!stopped.stdout.is_empty(), "the last run's log stays after stop");
}

async fn logs_are_selected_by_time(emulator: &Emulator) {
    let since = async |time: &str| {
        let logs = emulator.run(&["logs", "--since", time, "-o", "json"]).await.expect(0);
        let line = |line: &str| {
            let line: Value = serde_json::from_str(line).unwrap();
            let time = line["time"].as_str().expect("lines of services have a time").to_owned();
            (OffsetDateTime::parse(&time, &Rfc3339).unwrap(), time, line["text"].clone())
        };
        logs.stdout.lines().map(line).collect::<Vec<_>>()
    };
    let all = since("2020-01-01T00:00:00Z").await;
    let (middle, text, _) = &all[all.len() / 2];
    let expected: Vec<_> = all.iter().filter(|(time, ..)| time >= middle).collect();
    let later = since(text).await;
    assert!(later.iter().all(|(time, ..)| time >= middle), "{text}: {later:?}");
    assert!(expected.len() < all.len() && later.len() >= expected.len(), "{text}: {later:?}");
}

/// Closed means closed: `2>&-`, not `/dev/null`.
async fn run_without_stderr(emulator: &Emulator, args: &[&str]) -> Value {
    let mut command = emulator.command_with_closed_stderr(args);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("sh starts");
    finished(child).await.expect(0).json()
}
