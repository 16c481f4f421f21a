//! `emulator stop`.

use crate::harness::Emulator;

#[test]
fn a_qemu_that_is_gone_is_broken_and_stop_tidies_up() {
    let emulator = Emulator::new();
    emulator.write("instances/default/live.json", include_str!("live.json"));
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 1
    --- stdout
    instance  default
    state     broken
    reason    QEMU (pid 1) is gone: it crashed, was killed, or this machine went down
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["stop", "--json"]), @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "instance": "default",
      "state": "stopped",
      "ending": "was-gone",
      "seconds": [seconds]
    }
    --- stderr
    `default` is cleaned up: QEMU (pid 1) is gone: it crashed, was killed, or this machine went down
    "#);
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 3
    --- stdout
    instance  default
    state     absent
    --- stderr
    ");
}

#[test]
fn stopping_and_resetting_what_does_not_run_is_no_error() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["stop"]), @r"
    exit 0
    --- stdout
    `default` was not running
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["reset"]), @r"
    exit 0
    --- stdout
    `default` had no data
    --- stderr
    ");
}
