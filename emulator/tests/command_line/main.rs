//! The built program as a user meets it: exit code, stdout and stderr. No virtual machine runs here.

mod documented;
mod harness;
mod hostile;
mod hub;
mod images;
mod places;
mod published;
mod pull;
mod pull_faults;
mod signals;
mod variables;

use std::fs::File;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;

use harness::Emulator;

#[test]
fn the_help_groups_the_commands() {
    insta::assert_snapshot!(Emulator::new().run(&["--help"]), @"
    exit 0
    --- stdout
    A whole backend in one virtual machine, on 127.0.0.1

    Usage: emulator [OPTIONS] <COMMAND>

    Run the emulator:
      start          Start the machine and wait until every service answers
      stop           Suspend the machine; the next start goes on where it was
      status         Show what runs, where, and how it is
      logs           Show logs of the services, the serial console or QEMU
      rotate         Give the running instance new secrets
      reset          Throw the instance's data away; the next start is a new session with new secrets

    Images:
      pull           Download an image, and make the snapshot that new sessions begin with
      list-releases  Show the releases that have images
      images         Show the images on this machine
      prune          Remove images, snapshots and downloads that nothing needs

    This program and this machine:
      capture        Make the snapshot that new sessions begin with
      doctor         Check whether this machine can run the emulator
      version        Show the version of this program and of the formats that it reads
      completions    Print the completion script of a shell

    Global options:
          --instance <NAME>      Instance to act on: each has its own data, ports and machine; by
                                 default `default`, or `default-ARCH` where the architecture is not this
                                 machine's
          --arch <amd64|arm64>   Architecture of image and machine; by default the instance's, or this
                                 machine's [env: EMULATOR_ARCH]
      -o, --output <table|json>  What to print on stdout: for people, or one JSON document with a
                                 `schemaVersion` [default: table]
          --json                 Short for `--output json`
      -q, --quiet                Show warnings and errors only
      -v, --verbose              Show every detail
      -h, --help                 Print help
      -V, --version              Print version

    Examples:
      emulator pull --repo OWNER/NAME       download an image and make it ready
      emulator start                        start, and return when every service answers
      emulator status -o json               what runs, where, and how it is
      emulator logs backend --follow        watch one service
      emulator stop                         suspend; the next start goes on from here
      emulator start --instance feature-17 --port dashboard=auto --port backend=auto
      emulator start --arch arm64 --port dashboard=auto --port backend=auto

    Files are kept in `$STACK_EMULATOR_HOME`, by default `~/.stack/emulator`.
    --- stderr
    ");
}

#[test]
fn the_help_of_start_groups_its_flags() {
    insta::assert_snapshot!(Emulator::new().run(&["start", "--help"]), @"
    exit 0
    --- stdout
    Start the machine and wait until every service answers

    Usage: emulator start [OPTIONS]

    Options:
          --timeout <DURATION>  Longest wait for a machine that boots, `90s` or `5m`; by default what
                                the accelerator needs [env: EMULATOR_READY_TIMEOUT]
      -h, --help                Print help

    Ports:
          --port <NAME=PORT>  Host port of a service: a number, or `auto` for any free one; repeatable

    Machine:
          --accel <auto|kvm|hvf|tcg>  Accelerator: `auto` proves that the fast one works, else takes
                                      `tcg` [default: auto]
          --cpus <N>                  Virtual CPUs; by default the image's [env: EMULATOR_CPUS]
          --memory <MIB>              Memory in MiB; by default the image's [env: EMULATOR_RAM]
          --image <FILE>              Image file to use instead of the one in the home

    Image:
          --repo <OWNER/NAME>  Repository that the image is pulled from when there is none here [env:
                               EMULATOR_REPO]
          --offline            Never pull: fail when there is no image here

    Snapshot:
          --no-snapshot                     Boot, in place of going on from saved memory [env:
                                            EMULATOR_NO_SNAPSHOT]
          --strategy <template|mapped-ram>  How a new session's snapshot keeps memory; by default the
                                            first that is possible here
          --no-rotation                     Leave the image's well-known placeholders in a new session,
                                            in place of secrets of its own [env: EMULATOR_NO_ROTATION]
          --snapshot-timeout <DURATION>     Longest wait for the services when going on from saved
                                            memory, `10s` [env: EMULATOR_SNAPSHOT_READY_TIMEOUT]

    Global options:
          --instance <NAME>      Instance to act on: each has its own data, ports and machine; by
                                 default `default`, or `default-ARCH` where the architecture is not this
                                 machine's
          --arch <amd64|arm64>   Architecture of image and machine; by default the instance's, or this
                                 machine's [env: EMULATOR_ARCH]
      -o, --output <table|json>  What to print on stdout: for people, or one JSON document with a
                                 `schemaVersion` [default: table]
          --json                 Short for `--output json`
      -q, --quiet                Show warnings and errors only
      -v, --verbose              Show every detail

    Starting what already runs is no error: it is reported as it is. What `stop` has suspended goes on
    with its data and secrets. A new session begins with a snapshot, made on this machine the first
    time, and gets secrets of its own: see them with `emulator status --show-secrets`.

    Each port is the first of: `--port`, the variable that the image names for it, the port that
    an earlier `--port` chose for this instance, the image's default.

    Examples:
      emulator start
      emulator start --port backend=30001 --port dashboard=auto
      emulator start --accel tcg --timeout 5m
      emulator start --no-snapshot          boot, in place of going on from saved memory
      emulator start -o json                ports, phases and seconds for a program
      emulator start --repo OWNER/NAME      on a machine without an image: pull one first
    --- stderr
    ");
}

#[test]
fn every_command_has_help_with_examples() {
    let emulator = Emulator::new();
    let commands = [
        "start",
        "stop",
        "status",
        "logs",
        "rotate",
        "reset",
        "pull",
        "list-releases",
        "images",
        "prune",
        "capture",
        "doctor",
        "version",
        "completions",
    ];
    for command in commands {
        let shown = emulator.run(&[command, "--help"]);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
        assert!(shown.contains("Examples:\n  emulator "), "{shown}");
    }
}

#[test]
fn a_wrong_command_line_is_a_usage_error() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["begin"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: unrecognized subcommand 'begin'

    Usage: emulator [OPTIONS] <COMMAND>

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["status", "--instance", "../x"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value '../x' for '--instance <NAME>': `../x` is no instance name: use 1 to 32 lower-case letters, digits and hyphens, not first or last

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--port", "backend=http"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'backend=http' for '--port <NAME=PORT>': `http` is no port: use a number from 1 to 65535 or `auto`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--accel", "xen"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'xen' for '--accel <auto|kvm|hvf|tcg>': unknown accelerator `xen`: it is `auto`, `kvm`, `hvf` or `tcg`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["capture", "--strategy", "savevm"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'savevm' for '--strategy <template|mapped-ram>': unknown strategy `savevm`: it is `template` or `mapped-ram`

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(emulator.run(&["start", "--timeout", "soon"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'soon' for '--timeout <DURATION>': `soon` is no duration: use `90s`, `5m` or a number of seconds

    For more information, try '--help'.
    ");
}

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
      "services": []
    }
    --- stderr
    "#);
}

#[test]
fn a_suspended_instance_says_so_and_shows_no_secret_to_whoever_does_not_run_it() {
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

/// Something that is no record, by what is said of it.
struct NoRecord {
    reason: &'static str,
    put: fn(&Path) -> io::Result<()>,
}

const NO_RECORDS: [NoRecord; 3] = [
    NoRecord { reason: "it has more than 1048576 bytes", put: |path| File::create(path)?.set_len(100 << 20) },
    NoRecord { reason: "it is no file", put: |path| std::fs::create_dir_all(path.join("below")) },
    NoRecord { reason: "it is no file", put: |path| UnixListener::bind(path).map(drop) },
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

#[test]
fn reset_needs_a_yes_where_nobody_can_be_asked() {
    let emulator = Emulator::new();
    emulator.write("instances/default/instance.json", include_str!("instance.json"));
    insta::assert_snapshot!(emulator.run(&["reset"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: `reset` would throw away the data of instance `default`, and there is no terminal to ask on

    hint: say so with `emulator reset --yes`
    ");
}

#[test]
fn ctrl_c_at_a_question_leaves_the_terminal_as_it_was() {
    let emulator = Emulator::new();
    emulator.write("instances/default/instance.json", include_str!("instance.json"));
    let (exit, shown) = emulator.run_on_terminal(&["reset"], "Throw away", "\u{3}");
    assert_eq!(exit, 130, "{shown}");
    let (_, after) = shown.split_once("\u{1b}[?25l").unwrap();
    assert!(after.starts_with("\u{1b}[?25h\r\n") && after.contains("interrupted by Ctrl-C"), "{shown:?}");
    assert!(emulator.path("instances/default/instance.json").exists());
}

#[test]
fn hints_name_the_instance_that_the_command_was_about() {
    let emulator = Emulator::new();
    emulator.write("instances/ci-7/instance.json", include_str!("instance.json"));
    let refused = emulator.run(&["reset", "--instance", "ci-7"]);
    assert!(refused.contains("say so with `emulator reset --instance ci-7 --yes`"), "{refused}");
    let stopped = emulator.run(&["rotate", "--instance", "ci-8"]);
    assert!(stopped.contains("start it with `emulator start --instance ci-8`"), "{stopped}");
}

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
fn a_host_without_qemu_is_unsupported_and_told_what_to_do() {
    let emulator = Emulator::new().without_programs();
    insta::assert_snapshot!(emulator.run(&["start"]), @r"
    exit 5
    --- stdout

    --- stderr
    failed Look at QEMU and the image ([time])
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
      ]
    }
    --- stderr
    "#);
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
fn json_is_parseable_with_stderr_closed_and_the_exit_code_is_the_same() {
    let emulator = Emulator::new().without_programs();
    for (command, code) in [("status", 3), ("doctor", 5), ("version", 0), ("stop", 0)] {
        let (status, stdout) = emulator.run_with_stderr_closed(&[command, "-o", "json"]);
        assert_eq!(status, code, "{command}");
        let document: serde_json::Value = serde_json::from_slice(&stdout).unwrap();
        assert_eq!(document["schemaVersion"], 1, "{command}");
    }
}

#[test]
fn a_reader_that_has_gone_is_no_error() {
    let emulator = Emulator::new();
    emulator.write("instances/default/logs/serial.log", &"line\n".repeat(100_000));
    assert_eq!(emulator.run_into_closed_pipe(&["logs", "-n", "100000"]), 0);
    assert_eq!(emulator.run_into_closed_pipe(&["version"]), 0);
}

#[test]
#[cfg(target_os = "linux")] // Only Linux has `/dev/full`.
fn a_full_disk_behind_stdout_is_an_error() {
    let shown = Emulator::new().run_into("/dev/full", &["version"]);
    insta::assert_snapshot!(shown, @r"
    exit 1
    --- stdout

    --- stderr
    error: cannot write to stdout
      cause: No space left on device (os error 28)
    ");
}

#[test]
fn completions_exist_for_every_shell() {
    let emulator = Emulator::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let shown = emulator.run(&["completions", shell]);
        assert!(shown.starts_with("exit 0\n") && shown.contains("emulator"), "{shell}: {shown}");
    }
}

#[test]
fn a_limit_that_is_too_low_for_a_machine_is_named_before_anything_is_used() {
    let emulator = Emulator::new();
    for (limit, told) in [("-n 40", "40 files open"), ("-t 60", "60 s of processor time")] {
        let shown = emulator.run_limited(limit, &["start"]);
        assert!(shown.starts_with("exit 1\n") && shown.contains(told), "{shown}");
        assert!(shown.contains("hint: allow it with `ulimit"), "{shown}");
    }
}
