//! `emulator logs`.

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
