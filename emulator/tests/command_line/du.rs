//! `emulator du`.

use crate::harness::Emulator;

#[test]
fn everything_in_the_home_is_shown_with_what_it_takes() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["du"]), @"
    exit 0
    --- stdout
    there is nothing in `[root]/home`
    --- stderr
    ");
    emulator.write("images/stack-emulator-amd64.qcow2", &"x".repeat(5 << 20));
    emulator.write("instances/a/overlay.qcow2", &"x".repeat(1 << 20));
    emulator.write("instances/b/overlay.qcow2", &"x".repeat(2 << 20));
    emulator.write("instances/.a.lock", "");
    emulator.write("downloads/stack-emulator-amd64.qcow2.part", "x");
    emulator.write("qemu/11.0/bin/qemu-img", &"x".repeat(3 << 20));
    insta::assert_snapshot!(emulator.run(&["du"]), @"
    exit 0
    --- stdout
    KIND      SIZE     PATH
    image     5 MiB    images/stack-emulator-amd64.qcow2
    instance  2 MiB    instances/b
    instance  1 MiB    instances/a
    download  < 1 MiB  downloads/stack-emulator-amd64.qcow2.part
    qemu      3 MiB    qemu/11.0
    11 MiB in `[root]/home`
    --- stderr
    ");
    let shown = emulator.run(&["du", "-o", "json"]);
    assert!(shown.contains(r#""name": "instances/b""#) && shown.contains(r#""kind": "download""#), "{shown}");
}
