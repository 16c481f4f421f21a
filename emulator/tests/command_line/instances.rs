//! Which instances there are, and their end.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use vm::process::ProcessIdentity;

use super::harness::Emulator;

/// How old an instance is, and how much of the disk it takes, differs from one run or machine to the next.
const FILTERS: [(&str, &str); 6] = [
    (r"[0-9]+ % \([0-9]+ s\)", "[load]"),
    (r"\([0-9.]+ s\)", "([time])"),
    (r"[0-9]+ of ", "[used] of "),
    (r#""cpu([A-Z][a-z]+)": [0-9.]+"#, r#""cpu$1": [cpu]"#),
    (r"[0-9]+ (d|h|min|s)\b", "[age]"),
    (r#"ytes": [0-9]+"#, r#"ytes": [bytes]"#),
];

/// The width of a column depends on what is in it.
const WIDTH: (&str, &str) = ("[^\\S\n]{2,}", "  ");

/// A home with an instance in each state that needs no virtual machine.
fn home() -> Emulator {
    let emulator = Emulator::new();
    let mut record: Value = serde_json::from_str(include_str!("instance.json")).unwrap();
    record["arch"] = json!("arm64");
    record["ports"] = json!({ "backend": 30_001, "dashboard": 30_002 });
    emulator.write("instances/off/instance.json", &record.to_string());

    emulator.write("images/image", "image");
    let image = emulator.path("images/image");
    let record = include_str!("suspended_instance.json").replace("[image]", image.to_str().unwrap());
    emulator.write("instances/asleep/instance.json", &record);
    emulator.write("instances/asleep/overlay.qcow2", "data");
    let mut live: Value = serde_json::from_str(include_str!("live.json")).unwrap();
    let frozen = json!({ "size": 1, "inode": 1, "modified": 1, "allocated": 1, "sha256": null });
    let suspended = json!({
        "schemaVersion": 1,
        "at": "2026-01-01T00:00:00Z",
        "generation": 1,
        "strategy": "template",
        "fingerprint": live["machine"]["fingerprint"],
        "config": "instances/asleep/config.img",
        "rotated": true,
        "disk": { "size": 1, "inode": 1, "modified": 1 },
        "files": { "memory": frozen },
    });
    emulator.write("instances/asleep/suspended.json", &suspended.to_string());

    emulator.write("instances/damaged/live.json", include_str!("live.json"));
    emulator.write("instances/newer/instance.json", r#"{"schemaVersion": 9}"#);

    // This process stands for the machine.
    let process = ProcessIdentity::of(std::process::id().try_into().unwrap()).unwrap();
    live["machine"]["process"] = serde_json::to_value(process).unwrap();
    live["stack"]["ports"] =
        json!([{ "name": "backend", "guest": 1, "host": 30_003, "variable": "PORT", "health": "/health" }]);
    emulator.write("instances/awake/instance.json", include_str!("instance.json"));
    emulator.write("instances/awake/live.json", &live.to_string());
    emulator.write("instances/awake/overlay.qcow2", "data");
    emulator
}

#[test]
fn all_instances_are_listed_in_whatever_state_they_are() {
    let emulator = home();
    insta::with_settings!({filters => [&FILTERS[..], &[WIDTH]].concat()}, {
        insta::assert_snapshot!(emulator.run(&["list"]), @"
        exit 0
        --- stdout
        NAME  ARCH  STATE  PORTS  CPU  MEMORY  DISK  AGE  REASON
        asleep  -  suspended  -  -  2048 MiB  0 MiB  [age]  its memory is dropped by the next start: its disk has been changed since, or is a copy that has lost the time of its last change
        awake  amd64  running  backend=30003  [load]  [used] of 2048 MiB  0 MiB  [age]
        damaged  -  broken  -  -  -  0 MiB  -  QEMU (pid 1) is gone: it crashed, was killed, or this machine went down
        newer  -  broken  -  -  -  0 MiB  -  `[root]/home/instances/newer/instance.json` has schema version 9, this program reads up to 1
        off  arm64  stopped  backend=30001, dashboard=30002  -  -  0 MiB  [age]
        --- stderr
        ");
    });
}

#[test]
#[expect(clippy::too_many_lines, reason = "they are the document that is compared")]
fn a_program_gets_every_key_of_every_instance() {
    let emulator = home();
    insta::with_settings!({filters => FILTERS.to_vec()}, {
        insta::assert_snapshot!(emulator.run(&["list", "-o", "json"]), @r#"
        exit 0
        --- stdout
        {
          "schemaVersion": 1,
          "instances": [
            {
              "name": "asleep",
              "arch": null,
              "state": "suspended",
              "reasons": [
                "its memory is dropped by the next start: its disk has been changed since, or is a copy that has lost the time of its last change"
              ],
              "ports": [],
              "memoryMib": 2048,
              "memoryUsedBytes": null,
              "cpuSeconds": null,
              "cpuPercent": null,
              "diskBytes": [bytes],
              "createdAt": "2026-01-01T00:00:00Z",
              "startedAt": null,
              "directory": null
            },
            {
              "name": "awake",
              "arch": "amd64",
              "state": "running",
              "reasons": [],
              "ports": [
                {
                  "name": "backend",
                  "host": 30003
                }
              ],
              "memoryMib": 2048,
              "memoryUsedBytes": [bytes],
              "cpuSeconds": [cpu],
              "cpuPercent": [cpu],
              "diskBytes": [bytes],
              "createdAt": "2026-01-01T00:00:00Z",
              "startedAt": "2026-01-01T00:00:00Z",
              "directory": null
            },
            {
              "name": "damaged",
              "arch": null,
              "state": "broken",
              "reasons": [
                "QEMU (pid 1) is gone: it crashed, was killed, or this machine went down"
              ],
              "ports": [],
              "memoryMib": null,
              "memoryUsedBytes": null,
              "cpuSeconds": null,
              "cpuPercent": null,
              "diskBytes": [bytes],
              "createdAt": null,
              "startedAt": null,
              "directory": null
            },
            {
              "name": "newer",
              "arch": null,
              "state": "broken",
              "reasons": [
                "`[root]/home/instances/newer/instance.json` has schema version 9, this program reads up to 1"
              ],
              "ports": [],
              "memoryMib": null,
              "memoryUsedBytes": null,
              "cpuSeconds": null,
              "cpuPercent": null,
              "diskBytes": [bytes],
              "createdAt": null,
              "startedAt": null,
              "directory": null
            },
            {
              "name": "off",
              "arch": "arm64",
              "state": "stopped",
              "reasons": [],
              "ports": [
                {
                  "name": "backend",
                  "host": 30001
                },
                {
                  "name": "dashboard",
                  "host": 30002
                }
              ],
              "memoryMib": null,
              "memoryUsedBytes": null,
              "cpuSeconds": null,
              "cpuPercent": null,
              "diskBytes": [bytes],
              "createdAt": "2026-01-01T00:00:00Z",
              "startedAt": null,
              "directory": null
            }
          ]
        }
        --- stderr
        "#);
    });
}

#[test]
fn without_a_reason_there_is_no_column_for_it() {
    let emulator = home();
    for name in ["damaged", "newer", "awake", "asleep"] {
        fs::remove_dir_all(emulator.path(&format!("instances/{name}"))).unwrap();
    }
    insta::with_settings!({filters => [&FILTERS[..], &[WIDTH]].concat()}, {
        insta::assert_snapshot!(emulator.run(&["list"]), @"
        exit 0
        --- stdout
        NAME  ARCH  STATE  PORTS  CPU  MEMORY  DISK  AGE
        off  arm64  stopped  backend=30001, dashboard=30002  -  -  0 MiB  [age]
        --- stderr
        ");
    });
}

#[test]
fn an_empty_home_is_an_empty_list_and_a_notice() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["list"]), @"
    exit 0
    --- stdout
    NAME  ARCH  STATE  PORTS  CPU  MEMORY  DISK  AGE
    --- stderr
    there is no instance: `emulator start` makes one
    ");
    insta::assert_snapshot!(emulator.run(&["list", "--json"]), @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "instances": []
    }
    --- stderr
    there is no instance: `emulator start` makes one
    "#);
}

#[test]
fn a_deleted_instance_is_gone_and_the_others_stay() {
    let emulator = home();
    insta::with_settings!({filters => FILTERS.to_vec()}, {
        insta::assert_snapshot!(emulator.run(&["delete", "off", "--yes"]), @r"
        exit 0
        --- stdout
        `off` is deleted: 0 MiB freed
        --- stderr
        ");
        insta::assert_snapshot!(emulator.run(&["delete", "asleep", "--yes", "--json"]), @r#"
        exit 0
        --- stdout
        {
          "schemaVersion": 1,
          "instance": "asleep",
          "state": "absent",
          "bytes": [bytes]
        }
        --- stderr
        "#);
    });
    for (name, args) in [("damaged", &["damaged"][..]), ("newer", &["--instance", "newer"])] {
        let shown = emulator.run(&[&["delete", "--yes"], args].concat());
        assert!(shown.starts_with(&format!("exit 0\n--- stdout\n`{name}` is deleted")), "{shown}");
    }
    insta::assert_snapshot!(emulator.run(&["delete", "off", "--yes"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: there is no instance `off`: there is `awake`

    hint: see `emulator list`
    ");
    let left: Vec<_> =
        fs::read_dir(emulator.path("instances")).unwrap().map(|it| it.unwrap().file_name()).collect();
    assert_eq!(left, ["awake"]);
}

#[test]
fn a_deletion_needs_a_yes_where_nobody_can_be_asked() {
    let emulator = home();
    insta::assert_snapshot!(emulator.run(&["delete", "off"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: `delete` would throw away the data of instance `off`, and there is no terminal to ask on

    hint: confirm with `emulator delete off --yes`
    ");
    insta::assert_snapshot!(emulator.run(&["delete", "unknown"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: there is no instance `unknown`: there is `asleep`, `awake`, `damaged`, `newer`, `off`

    hint: see `emulator list`
    ");
    insta::assert_snapshot!(emulator.run(&["delete"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: no instance to delete is named

    hint: the one that commands act on here is `emulator delete default`; see `emulator list`
    ");
    let shown = emulator.run(&["delete", "--yes", "--stack", "shop"]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("`emulator delete shop`"), "{shown}");
    let shown = emulator.run(&["delete", "off", "--instance", "asleep", "--yes"]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("cannot be used with"), "{shown}");
    assert!(emulator.path("instances/off").exists() && emulator.path("instances/asleep").exists());
}

#[test]
fn a_deletion_asks_on_a_terminal_and_takes_no_for_an_answer() {
    let emulator = home();
    let question = "Delete `off` with everything that was written in it?";
    let (exit, shown) = emulator.run_on_terminal(&["delete", "off"], question, "n");
    assert!(exit == 0 && shown.contains("nothing was changed"), "{shown}");
    assert!(emulator.path("instances/off").exists());
    let (exit, shown) = emulator.run_on_terminal(&["delete", "off"], question, "y");
    assert!(exit == 0 && !emulator.path("instances/off").exists(), "{shown}");
}

#[test]
fn what_a_killed_run_has_left_stays_at_a_dry_run() {
    let emulator = home();
    emulator.write("instances/run-7-abcd/.fresh", "");
    let left = emulator.path("instances/run-7-abcd");
    let line = "leftover  0 MiB  [root]/home/instances/run-7-abcd\n";
    let shown = emulator.run(&["prune", "--dry-run"]);
    assert!(left.exists() && shown.contains(line), "{shown}");
    let shown = emulator.run(&["prune"]);
    assert!(shown.starts_with("exit 0\n") && !left.exists() && shown.contains(line), "{shown}");
}

#[test]
fn a_refused_start_leaves_nothing_of_an_instance_that_did_not_exist() {
    let emulator = Emulator::new();
    let shown = emulator.run(&["start", "--instance", "blue"]);
    assert!(!shown.starts_with("exit 0\n"), "{shown}");
    let entries = fs::read_dir(emulator.path("instances")).unwrap();
    let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn what_a_killed_deletion_has_left_is_removed_by_the_next_command() {
    let emulator = home();
    let left = emulator.path("instances/.deleted-off");
    fs::rename(emulator.path("instances/off"), &left).unwrap();
    let shown = emulator.run(&["list"]);
    assert!(!shown.contains("off"), "{shown}");
    let shown = emulator.run(&["prune", "--dry-run"]);
    assert!(
        shown.contains("leftover  0 MiB  [root]/home/instances/.deleted-off") && left.exists(),
        "{shown}"
    );
    let shown = emulator.run(&["prune"]);
    assert!(shown.starts_with("exit 0\n") && !left.exists(), "{shown}");
    assert!(!emulator.path("instances/.off.lock").exists());

    fs::rename(emulator.path("instances/asleep"), emulator.path("instances/.deleted-asleep")).unwrap();
    let shown = emulator.run(&["delete", "asleep", "--yes"]);
    assert!(shown.starts_with("exit 0\n--- stdout\n`asleep` is deleted"), "{shown}");
    assert!(!emulator.path("instances/.deleted-asleep").exists());
}

#[test]
fn an_instance_behind_a_link_that_leads_nowhere_is_not_taken_for_gone() {
    let emulator = home();
    let moved = emulator.path("instances/off");
    fs::remove_dir_all(&moved).unwrap();
    symlink("/no/such/disk", &moved).unwrap();
    let shown = emulator.run(&["list"]);
    assert!(shown.starts_with("exit 0\n") && shown.contains("is a link to `/no/such/disk`"), "{shown}");
    let shown = emulator.run(&["delete", "off", "--yes"]);
    assert!(shown.starts_with("exit 1\n") && shown.contains("hint: mount or put back"), "{shown}");
}

#[test]
fn all_instances_are_deleted_after_one_question() {
    let emulator = home();
    insta::assert_snapshot!(emulator.run(&["delete", "--all"]), @"
    exit 2
    --- stdout

    --- stderr
    error: `delete` would throw away the data of all instances (`asleep`, `awake`, `damaged`, `newer`, `off`), and there is no terminal to ask on

    hint: confirm with `emulator delete --all --yes`
    ");
    for args in [&["delete", "--all", "off", "--yes"][..], &["delete", "--all", "--instance", "off", "--yes"]]
    {
        let shown = emulator.run(args);
        assert!(shown.starts_with("exit 2\n") && shown.contains("cannot be used with"), "{shown}");
    }
    let question = "Delete all instances (`asleep`, `awake`, `damaged`, `newer`, `off`) with everything that was written in them?";
    // The one that seems to run is this process.
    fs::remove_dir_all(emulator.path("instances/awake")).unwrap();
    let question = question.replace("`awake`, ", "");
    let (exit, shown) = emulator.run_on_terminal(&["delete", "--all"], &question[..60], "n");
    assert!(exit == 0 && shown.contains("nothing was changed"), "{shown}");
    insta::with_settings!({filters => FILTERS.to_vec()}, {
        insta::assert_snapshot!(emulator.run(&["delete", "--all", "--yes", "-o", "json"]), @r#"
        exit 0
        --- stdout
        {
          "schemaVersion": 1,
          "instances": [
            {
              "instance": "asleep",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            },
            {
              "instance": "damaged",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            },
            {
              "instance": "newer",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            },
            {
              "instance": "off",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            }
          ]
        }
        --- stderr
        ok Delete all instances ([time])
        "#);
    });
    insta::assert_snapshot!(emulator.run(&["delete", "--all"]), @"
    exit 0
    --- stdout
    there is no instance
    --- stderr
    ");
    assert_eq!(fs::read_dir(emulator.path("instances")).unwrap().count(), 0);
}

#[test]
fn one_instance_that_cannot_be_deleted_does_not_keep_the_others() {
    let emulator = home();
    let moved = emulator.path("instances/damaged");
    for name in ["awake", "damaged"] {
        fs::remove_dir_all(emulator.path(&format!("instances/{name}"))).unwrap();
    }
    symlink("/no/such/disk", &moved).unwrap();
    insta::with_settings!({filters => FILTERS.to_vec()}, {
        insta::assert_snapshot!(emulator.run(&["delete", "--all", "--yes", "-o", "json"]), @r#"
        exit 1
        --- stdout
        {
          "schemaVersion": 1,
          "instances": [
            {
              "instance": "asleep",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            },
            {
              "instance": "damaged",
              "state": null,
              "bytes": null,
              "error": {
                "code": "failed",
                "message": "cannot look at `[root]/home/instances/damaged`",
                "causes": [
                  "`[root]/home/instances/damaged` is a link to `/no/such/disk`, which is not there"
                ],
                "hint": "mount or put back what it leads to, or remove the link: `rm '[root]/home/instances/damaged'`"
              }
            },
            {
              "instance": "newer",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            },
            {
              "instance": "off",
              "state": "absent",
              "bytes": [bytes],
              "error": null
            }
          ]
        }
        --- stderr
        `damaged` failed:
        error: cannot look at `[root]/home/instances/damaged`
          cause: `[root]/home/instances/damaged` is a link to `/no/such/disk`, which is not there

        hint: mount or put back what it leads to, or remove the link: `rm '[root]/home/instances/damaged'`
        failed Delete all instances ([time])
        "#);
    });
    assert!(!emulator.path("instances/off").exists());
}

#[test]
fn all_instances_are_stopped() {
    let emulator = home();
    fs::remove_dir_all(emulator.path("instances/awake")).unwrap();
    insta::assert_snapshot!(emulator.run(&["stop", "--all"]), @"
    exit 0
    --- stdout
    `damaged` was not running any more: what it left behind is cleaned up
    --- stderr
    `damaged` is cleaned up: QEMU (pid 1) is gone: it crashed, was killed, or this machine went down
    ok Stop all instances ([time])
    ");
    fs::remove_dir_all(emulator.path("instances/newer")).unwrap();
    insta::assert_snapshot!(emulator.run(&["stop", "--all", "-o", "json"]), @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "instances": [
        {
          "instance": "asleep",
          "state": "stopped",
          "ending": "was-stopped",
          "seconds": [seconds],
          "error": null
        },
        {
          "instance": "damaged",
          "state": "stopped",
          "ending": "was-stopped",
          "seconds": [seconds],
          "error": null
        },
        {
          "instance": "off",
          "state": "stopped",
          "ending": "was-stopped",
          "seconds": [seconds],
          "error": null
        }
      ]
    }
    --- stderr
    ok Stop all instances ([time])
    "#);
    insta::assert_snapshot!(emulator.run(&["stop", "--all"]), @"
    exit 0
    --- stdout
    no instance was running
    --- stderr
    ok Stop all instances ([time])
    ");
}

#[test]
fn a_removed_worktrees_instance_is_deleted_only_on_request() {
    let emulator = home();
    let mut record: Value = serde_json::from_str(include_str!("instance.json")).unwrap();
    record["directory"] = json!("/no/such/worktree");
    emulator.write("instances/old/instance.json", &record.to_string());
    let shown = emulator.run(&["list"]);
    assert!(shown.contains("DIRECTORY") && shown.contains("/no/such/worktree"), "{shown}");
    let shown = emulator.run(&["status", "--instance", "old"]);
    assert!(shown.contains("directory  /no/such/worktree"), "{shown}");
    insta::with_settings!({filters => FILTERS.to_vec()}, {
        insta::assert_snapshot!(emulator.run(&["prune", "-o", "json"]), @r#"
        exit 0
        --- stdout
        {
          "schemaVersion": 1,
          "dryRun": false,
          "bytes": [bytes],
          "removed": [],
          "orphans": [
            {
              "instance": "old",
              "directory": "/no/such/worktree",
              "bytes": [bytes]
            }
          ]
        }
        --- stderr
        warning: instance `awake` may have data on any image or snapshot: there is a disk `[root]/home/instances/awake/overlay.qcow2`, but no record of the image below it
        warning: instance `newer` may have data on any image or snapshot: `[root]/home/instances/newer/instance.json` has schema version 9, this program reads up to 1
        the directory `/no/such/worktree` of instance `old` is gone: `emulator prune --instances` deletes it with its data
        "#);
        insta::assert_snapshot!(emulator.run(&["prune", "--dry-run", "--instances"]), @"
        exit 0
        --- stdout
        KIND      SIZE   PATH
        instance  0 MiB  [root]/home/instances/old
        0 MiB would be free
        --- stderr
        warning: instance `awake` may have data on any image or snapshot: there is a disk `[root]/home/instances/awake/overlay.qcow2`, but no record of the image below it
        warning: instance `newer` may have data on any image or snapshot: `[root]/home/instances/newer/instance.json` has schema version 9, this program reads up to 1
        ");
        insta::assert_snapshot!(emulator.run(&["prune", "--instances"]), @"
        exit 2
        --- stdout

        --- stderr
        warning: instance `awake` may have data on any image or snapshot: there is a disk `[root]/home/instances/awake/overlay.qcow2`, but no record of the image below it
        warning: instance `newer` may have data on any image or snapshot: `[root]/home/instances/newer/instance.json` has schema version 9, this program reads up to 1
        error: `prune` would throw away the data of the instances `old`, and there is no terminal to ask on

        hint: confirm with `emulator prune --instances --yes`
        ");
    });
    assert!(emulator.path("instances/old").exists());
    let shown = emulator.run(&["prune", "--instances", "--yes"]);
    assert!(shown.starts_with("exit 0\n") && !emulator.path("instances/old").exists(), "{shown}");
    assert!(emulator.path("instances/off").exists());
}

#[test]
fn several_instances_are_started_on_automatic_ports_only() {
    let emulator = Emulator::new().without_programs();
    let shown = emulator.run(&["start", "--count", "2", "--port", "backend=1"]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("cannot be used with"), "{shown}");
    let long = "x".repeat(31);
    let shown = emulator.run(&["start", "--count", "2", "--instance", &long]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("invalid instance name"), "{shown}");
    let args = ["start", "--count", "2", "--instance", "shard", "--arch", "amd64", "-o", "json"];
    insta::assert_snapshot!(emulator.run(&args), @r#"
    exit 1
    --- stdout
    {
      "schemaVersion": 1,
      "instances": [
        {
          "instance": "shard-1",
          "state": null,
          "alreadyRunning": null,
          "startedBy": null,
          "coldBecause": null,
          "rotated": null,
          "arch": null,
          "accelerator": null,
          "acceleratorFallback": null,
          "cpus": null,
          "memoryMib": null,
          "image": null,
          "pid": null,
          "ports": [],
          "phases": [],
          "seconds": null,
          "error": {
            "code": "host-unsupported",
            "message": "`qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`",
            "causes": [],
            "hint": "run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)"
          }
        },
        {
          "instance": "shard-2",
          "state": null,
          "alreadyRunning": null,
          "startedBy": null,
          "coldBecause": null,
          "rotated": null,
          "arch": null,
          "accelerator": null,
          "acceleratorFallback": null,
          "cpus": null,
          "memoryMib": null,
          "image": null,
          "pid": null,
          "ports": [],
          "phases": [],
          "seconds": null,
          "error": {
            "code": "host-unsupported",
            "message": "`qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`",
            "causes": [],
            "hint": "run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)"
          }
        }
      ]
    }
    --- stderr
    `shard-1` failed:
    error: `qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`

    hint: run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)
    `shard-2` failed:
    error: `qemu-system-x86_64` is neither in `[root]/home/qemu/current/bin` nor on `PATH`

    hint: run `cargo xtask build-qemu` in a checkout, or install QEMU 8.2.0 or newer (Debian: `apt install qemu-system-x86 qemu-utils`, macOS: `brew install qemu`)
    failed Start 2 instances ([time])
    "#);
}
