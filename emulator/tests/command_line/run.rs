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

#[test]
fn a_command_that_cannot_be_run_is_reported_before_anything_is_started() {
    let emulator = Emulator::new();
    let (script, data) = (emulator.path("script"), emulator.path("data"));
    emulator.write("script", "#!/no/such/interpreter\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    emulator.write("data", "");
    let (script, data) = (script.to_str().unwrap(), data.to_str().unwrap());
    // There is no image either: that would be the error of a start.
    let cases = [
        ("no-such-command", 127, "`no-such-command` is not installed or not on `PATH`"),
        (script, 127, "its interpreter `/no/such/interpreter` does not exist"),
        (data, 126, "Permission denied"),
    ];
    for flags in [&[][..], &["--fresh"]] {
        for (command, code, said) in cases {
            let shown = emulator.run(&[&["run"], flags, &["--", command]].concat());
            assert!(shown.starts_with(&format!("exit {code}\n")), "{shown}");
            assert!(shown.contains(said), "{shown}");
        }
    }
    assert!(!emulator.path("instances").exists());
}
