//! What is printed, and who reads it.

use crate::harness::Emulator;

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
