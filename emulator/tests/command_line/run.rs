//! A command that cannot be run, since there is nothing to run it beside.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use crate::harness::Emulator;

/// Runs a command that would leave a trace, with these flags; returns what was shown.
fn refused(emulator: &Emulator, flags: &[&str]) -> String {
    let trace = emulator.path("trace");
    let shown = emulator.run(&[&["run"], flags, &["--", "touch", trace.to_str().unwrap()]].concat());
    assert!(!trace.exists(), "{shown}");
    assert!(shown.starts_with("exit 125\n--- stdout\n\n--- stderr\nerror: "), "{shown}");
    shown
}

#[test]
fn a_failure_before_the_command_has_a_code_of_its_own() {
    let emulator = Emulator::new();
    for flags in [&[][..], &["--fresh"], &["--keep"]] {
        refused(&emulator, flags);
        assert!(!emulator.path("instances/default/live.json").exists());
    }
    let instances = std::fs::read_dir(emulator.path("instances")).unwrap();
    let names: Vec<_> = instances.map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn a_wrong_command_line_has_that_code_too() {
    let emulator = Emulator::new();
    assert!(refused(&emulator, &["--no-such-flag"]).contains("'--no-such-flag'"));
    let both = refused(&emulator, &["--fresh", "--instance", "blue"]);
    assert!(both.contains("cannot be used with"), "{both}");
    assert!(emulator.run(&["run"]).starts_with("exit 125\n"));
    assert!(emulator.run(&["run", "--help"]).starts_with("exit 0\n"));
    assert!(emulator.run(&["stop", "--no-such-flag"]).starts_with("exit 2\n"));
}
