//! `emulator status`.

use std::io::{BufRead as _, BufReader};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Emulator;

#[test]
fn the_status_of_what_was_never_started_is_3() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 3
    --- stdout
    instance  default
    state     absent
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["status", "-o", "json"]), @r#"
    exit 3
    --- stdout
    {
      "schemaVersion": 1,
      "instance": "default",
      "directory": null,
      "state": "absent",
      "healthy": null,
      "reasons": [],
      "startedBy": null,
      "coldBecause": null,
      "rotated": null,
      "secrets": [],
      "startedAt": null,
      "arch": null,
      "accelerator": null,
      "acceleratorFallback": null,
      "cpus": null,
      "memoryMib": null,
      "image": null,
      "pid": null,
      "ports": [],
      "services": [],
      "containers": []
    }
    --- stderr
    "#);
}

#[test]
fn a_suspended_instance_says_so_and_shows_no_secret() {
    let emulator = Emulator::new();
    emulator.write("images/image", "image");
    emulator.write("instances/default/overlay.qcow2", "data");
    emulator.write("instances/default/suspended.json", "{}");
    let image = emulator.path("images/image");
    let record = include_str!("suspended_instance.json").replace("[image]", image.to_str().unwrap());
    emulator.write("instances/default/instance.json", &record);
    insta::assert_snapshot!(emulator.run(&["status", "--show-secrets"]), @r"
    exit 3
    --- stdout
    instance  default
    state     suspended
    reason    its memory is dropped by the next start: `[root]/home/instances/default/suspended.json` is not a valid record: missing field `schemaVersion` at line 1 column 2
    --- stderr
    ");
    std::fs::remove_file(emulator.path("instances/default/overlay.qcow2")).unwrap();
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 1
    --- stdout
    instance  default
    state     broken
    reason    its disk `[root]/home/instances/default/overlay.qcow2` is gone
    --- stderr
    ");
}

#[test]
fn a_busy_lock_does_not_keep_anybody_from_looking() {
    let emulator = Emulator::new();
    emulator.write("instances/default/live.json", include_str!("live.json"));
    let _held = emulator.lock("instances/.default.lock");
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 3
    --- stdout
    instance  default
    state     stopping
    --- stderr
    ");
}

#[test]
fn a_watched_status_is_shown_whenever_it_changes_until_ctrl_c() {
    let emulator = Emulator::new();
    let mut watch = emulator.start(&["status", "--watch", "-o", "json"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    output_schemas::check(&["status", "-o", "json"], &first);
    assert!(first.contains(r#""state":"absent""#), "{first}");
    // At once, or a part of it might be read.
    emulator.write("instances/.new/instance.json", include_str!("instance.json"));
    std::fs::rename(emulator.path("instances/.new"), emulator.path("instances/default")).unwrap();
    let second = lines.next().unwrap();
    assert!(second.contains(r#""state":"stopped""#), "{second}");
    kill_process(Pid::from_child(&watch), Signal::INT).unwrap();
    assert_eq!(lines.next(), None, "nothing but changes is shown");
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watched_status_ends_when_its_reader_is_gone_and_nothing_has_changed() {
    let emulator = Emulator::new();
    let mut watch = emulator.start(&["status", "--watch"]);
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    lines.next().unwrap().unwrap();
    drop(lines);
    assert_eq!(watch.wait().unwrap().code(), Some(0));
}
