//! `emulator logs`.

use std::io::{BufRead as _, BufReader};

use serde_json::Value;

use crate::harness::Emulator;

#[test]
fn logs_of_a_stopped_instance_are_those_of_its_last_run() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["logs"]), @r"
    exit 3
    --- stdout

    --- stderr
    error: instance `default` has no logs yet

    hint: start it with `emulator start`
    ");
    emulator.write("instances/default/logs/serial.log", "one\n\u{1b}[32mtwo\u{1b}[0m\nthree\n");
    insta::assert_snapshot!(emulator.run(&["logs", "-n", "2"]), @r"
    exit 0
    --- stdout
    two
    three
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["logs", "serial", "--follow", "-n", "1", "-o", "json"]), @r#"
    exit 0
    --- stdout
    {"schemaVersion":1,"source":"serial","time":null,"text":"three"}
    --- stderr
    "#);
    insta::assert_snapshot!(emulator.run(&["logs", "backend"]), @r"
    exit 3
    --- stdout

    --- stderr
    error: instance `default` is not running

    hint: start it with `emulator start`
    ");
}

#[test]
fn a_time_selects_lines_of_services_only() {
    let emulator = Emulator::new();
    emulator.write("instances/default/logs/serial.log", "one\n");
    insta::assert_snapshot!(emulator.run(&["logs", "--since", "10m"]), @"
    exit 2
    --- stdout

    --- stderr
    error: the lines of `serial` have no time that could be selected by

    hint: choose a number of lines instead, as in `emulator logs serial -n 100`; the services of a running instance have times
    ");
    insta::assert_snapshot!(emulator.run(&["logs", "--since", "yesterday"]), @"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'yesterday' for '--since <DURATION|TIME>': invalid time `yesterday`: use `10m`, or `2026-01-31T12:00:00Z`

    For more information, try '--help'.
    ");
    for time in ["2026-01-31T12:00:00Z", "90", "2h 5m"] {
        let shown = emulator.run(&["logs", "backend", "--since", time]);
        assert!(shown.starts_with("exit 3\n"), "{shown}");
    }
}

#[test]
fn logs_that_are_followed_end_when_their_reader_is_gone() {
    let emulator = Emulator::new();
    let mut live: Value = serde_json::from_str(include_str!("live.json")).unwrap();
    live["run"]["ready"] = Value::Null;
    emulator.write("instances/default/live.json", &live.to_string());
    emulator.write("instances/default/logs/serial.log", "one\n");
    let _starting = emulator.lock("instances/.default.lock");
    let mut logs = emulator.start(&["logs", "serial", "--follow"]);
    let mut lines = BufReader::new(logs.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "one");
    drop(lines);
    assert_eq!(logs.wait().unwrap().code(), Some(0));
}
