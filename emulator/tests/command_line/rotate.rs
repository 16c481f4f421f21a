//! `emulator rotate`.

use crate::harness::Emulator;

#[test]
fn a_rotation_needs_a_running_instance() {
    insta::assert_snapshot!(Emulator::new().run(&["rotate"]), @r"
    exit 3
    --- stdout

    --- stderr
    error: instance `default` is not running

    hint: start it with `emulator start`
    ");
}

#[test]
fn hints_name_the_instance_that_the_command_was_about() {
    let emulator = Emulator::new();
    emulator.write("instances/ci-7/instance.json", include_str!("instance.json"));
    let refused = emulator.run(&["reset", "--instance", "ci-7"]);
    assert!(refused.contains("confirm with `emulator reset --instance ci-7 --yes`"), "{refused}");
    let stopped = emulator.run(&["rotate", "--instance", "ci-8"]);
    assert!(stopped.contains("start it with `emulator start --instance ci-8`"), "{stopped}");
}
