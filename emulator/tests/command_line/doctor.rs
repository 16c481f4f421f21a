//! `emulator doctor`, and a start on a host that cannot run the emulator.

use crate::harness::Emulator;

#[test]
fn a_host_without_qemu_is_unsupported_and_told_what_to_do() {
    let emulator = Emulator::new().without_programs();
    insta::assert_snapshot!(emulator.run(&["start"]), @r"
    exit 5
    --- stdout

    --- stderr
    failed Find QEMU and the image ([time])
    error: `qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`

    hint: run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)
    ");
    insta::assert_snapshot!(emulator.run(&["doctor", "-o", "json"]), @r#"
    exit 5
    --- stdout
    {
      "schemaVersion": 1,
      "usable": false,
      "checks": [
        {
          "name": "home",
          "verdict": "ok",
          "text": "`[root]/home` is private",
          "hint": null
        },
        {
          "name": "disk-space",
          "verdict": "[verdict]",
          "text": "[free] GiB free for `[root]/home`",
          "hint": [hint]
        },
        {
          "name": "sockets",
          "verdict": "ok",
          "text": "in `[sockets]/[hash]` ([length] bytes long)",
          "hint": null
        },
        {
          "name": "qemu",
          "verdict": "fail",
          "text": "`qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`",
          "hint": "run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)"
        }
      ],
      "settings": []
    }
    --- stderr
    "#);
}

#[test]
fn a_limit_that_is_too_low_for_a_machine_is_named_before_anything_is_used() {
    let emulator = Emulator::new();
    for (limit, cause) in [("-n 40", "40 files open"), ("-t 60", "60 s of processor time")] {
        let shown = emulator.run_limited(limit, &["start"]);
        assert!(shown.starts_with("exit 1\n") && shown.contains(cause), "{shown}");
        assert!(shown.contains("hint: allow it with `ulimit"), "{shown}");
    }
}
