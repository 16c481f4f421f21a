//! Records that cannot be used.

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use crate::harness::Emulator;

#[test]
fn a_damaged_record_is_broken_with_the_reason_and_reset_is_the_way_out() {
    let emulator = Emulator::new();
    emulator.write("instances/default/instance.json", r#"{"schemaVersion": 1, "#);
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 1
    --- stdout
    instance  default
    state     broken
    reason    `[root]/home/instances/default/instance.json` is not a valid record: EOF while parsing a value at line 1 column 21
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["reset", "--yes"]), @r"
    exit 0
    --- stdout
    `default` had no data
    --- stderr
    ");
    insta::assert_snapshot!(emulator.run(&["status"]), @r"
    exit 3
    --- stdout
    instance  default
    state     absent
    --- stderr
    ");
}

/// Something that is not a record, by what is said of it.
struct NoRecord {
    reason: &'static str,
    put: fn(&Path) -> io::Result<()>,
}

const NO_RECORDS: [NoRecord; 3] = [
    NoRecord { reason: "it has more than 1048576 bytes", put: |path| File::create(path)?.set_len(100 << 20) },
    NoRecord { reason: "it is not a file", put: |path| std::fs::create_dir_all(path.join("below")) },
    NoRecord { reason: "it is not a file", put: |path| UnixListener::bind(path).map(drop) },
];

#[test]
fn what_is_no_record_is_broken_with_the_reason_and_reset_is_the_way_out() {
    let emulator = Emulator::new();
    for NoRecord { reason, put } in NO_RECORDS {
        std::fs::create_dir_all(emulator.path("instances/default")).unwrap();
        put(&emulator.path("instances/default/instance.json")).unwrap();
        let shown = emulator.run(&["status"]);
        let reason = format!("instance.json` is not a valid record: {reason}");
        assert!(shown.starts_with("exit 1\n") && shown.contains("state     broken"), "{shown}");
        assert!(shown.contains(&reason), "{shown}");
        let shown = emulator.run(&["start", "--offline"]);
        assert!(shown.starts_with("exit 1\n") && shown.contains(&reason), "{shown}");
        assert!(shown.contains("hint: put it back or drop the instance's data: `emulator reset`"), "{shown}");
        let shown = emulator.run(&["reset", "--yes"]);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
        let shown = emulator.run(&["status"]);
        assert!(shown.starts_with("exit 3\n") && shown.contains("state     absent"), "{shown}");
    }
}

#[test]
fn what_is_no_record_of_a_running_machine_is_removed_and_costs_no_data() {
    let emulator = Emulator::new();
    for NoRecord { reason, put } in NO_RECORDS {
        emulator.write("instances/default/overlay.qcow2", "data");
        let live = emulator.path("instances/default/live.json");
        put(&live).unwrap();
        let reason = format!("live.json` is not a valid record: {reason}");
        let shown = emulator.run(&["status"]);
        assert!(shown.starts_with("exit 1\n") && shown.contains(&reason), "{shown}");
        assert!(!shown.contains("reset"), "{shown}");
        let shown = emulator.run(&["stop"]);
        assert!(shown.starts_with("exit 0\n") && shown.contains(&reason), "{shown}");
        assert!(!live.exists() && emulator.path("instances/default/overlay.qcow2").exists());
    }
}

/// Puts an image and an instance with data on it into the home.
fn write_session(emulator: &Emulator) {
    emulator.write("images/image", "image");
    let image = emulator.path("images/image");
    let record = include_str!("suspended_instance.json").replace("[image]", &image.display().to_string());
    emulator.write("instances/default/instance.json", &record);
    emulator.write("instances/default/overlay.qcow2", "data");
}

#[test]
fn a_suspension_of_a_newer_version_is_refused_and_kept() {
    let emulator = Emulator::new();
    write_session(&emulator);
    emulator.write("instances/default/suspended.json", r#"{"schemaVersion": 2}"#);
    let shown = emulator.run(&["status"]);
    assert!(shown.starts_with("exit 1\n") && shown.contains("has schema version 2"), "{shown}");
    assert!(shown.contains("hint: update `emulator`"), "{shown}");
    assert!(emulator.path("instances/default/suspended.json").exists());
}

#[test]
fn what_is_no_record_of_a_suspension_costs_the_memory_alone() {
    let emulator = Emulator::new();
    for NoRecord { reason, put } in NO_RECORDS {
        write_session(&emulator);
        let suspended = emulator.path("instances/default/suspended.json");
        put(&suspended).unwrap();
        let shown = emulator.run(&["status"]);
        assert!(shown.starts_with("exit 3\n") && shown.contains("state     suspended"), "{shown}");
        assert!(shown.contains("reason    its memory is dropped by the next start: "), "{shown}");
        assert!(shown.contains(&format!("suspended.json` is not a valid record: {reason}")), "{shown}");
        let shown = emulator.run(&["reset", "--yes"]);
        assert!(shown.starts_with("exit 0\n") && !suspended.exists(), "{shown}");
    }
}
