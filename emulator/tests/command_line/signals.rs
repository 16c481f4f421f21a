//! Signals that the calling process ignores, or does not.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::io::{BufRead as _, BufReader};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Emulator;

/// The exit code of a command that has got SIGHUP while it waited for another one to end.
fn exit_after_hangup(ignored: bool) -> i32 {
    let emulator = Emulator::new();
    emulator.write("instances/default/logs/serial.log", "");
    let lock = emulator.lock("instances/.default.lock");
    let mut stop = emulator.start_for_hangup(ignored, &["stop"]);
    let said = BufReader::new(stop.stderr.take().unwrap()).lines().next().unwrap().unwrap();
    assert!(said.contains("waiting for it"), "{said}");
    kill_process(Pid::from_child(&stop), Signal::HUP).unwrap();
    if ignored {
        // It has nothing to do once it is its turn.
        drop(lock);
    }
    stop.wait().unwrap().code().unwrap()
}

#[test]
fn a_hangup_that_is_ignored_does_not_interrupt() {
    assert_eq!(exit_after_hangup(true), 0);
}

#[test]
fn any_other_hangup_does() {
    assert_eq!(exit_after_hangup(false), 129);
}
