//! Waiting for an instance that does not run.

use crate::harness::Emulator;

#[test]
fn what_does_not_run_is_not_waited_for_unless_that_is_asked_for() {
    let emulator = Emulator::new();
    let shown = emulator.run(&["wait"]);
    assert!(shown.starts_with("exit 3\n"), "{shown}");
    assert!(shown.contains("error: instance `default` is not running"), "{shown}");
    let shown = emulator.run(&["wait", "--for-start", "--timeout", "1"]);
    assert!(shown.starts_with("exit 6\n"), "{shown}");
}
