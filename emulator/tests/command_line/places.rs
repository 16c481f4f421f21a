//! Homes and files in places that the program cannot use as they are.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use crate::harness::Emulator;

/// A path in Latin-1.
fn no_text(dir: &str) -> OsString {
    OsString::from_vec([dir.as_bytes(), b"/caf\xe9"].concat())
}

#[test]
fn a_home_whose_path_is_no_text_is_refused_with_the_variable() {
    let emulator = Emulator::new().with("STACK_EMULATOR_HOME", no_text("/x"));
    for command in ["start", "status", "stop", "doctor", "images"] {
        insta::allow_duplicates! {
            insta::assert_snapshot!(emulator.run(&[command]), @"
            exit 2
            --- stdout

            --- stderr
            error: `STACK_EMULATOR_HOME` leads to `/x/caf�`, which is not valid UTF-8: neither records nor QEMU's monitor can name it

            hint: rename it, or let `STACK_EMULATOR_HOME` name a link to it, in ASCII or UTF-8
            ");
        }
    }
}

#[test]
fn a_home_that_cannot_be_written_to_is_told_with_the_variable() {
    let emulator = Emulator::new().with("STACK_EMULATOR_HOME", "/dev/null/home");
    insta::assert_snapshot!(emulator.run(&["start"]), @"
    exit 1
    --- stdout

    --- stderr
    error: the home `/dev/null/home`, which `STACK_EMULATOR_HOME` leads to, cannot be written to: `/dev/null`
      cause: Not a directory (os error 20)

    hint: set `STACK_EMULATOR_HOME` to a directory that you can write to
    ");
    let doctor = emulator.run(&["doctor"]);
    assert!(
        doctor.starts_with("exit 5") && doctor.contains("which `STACK_EMULATOR_HOME` leads to"),
        "{doctor}"
    );
}

#[test]
fn a_qemu_whose_path_is_no_text_is_refused_with_the_variable() {
    let emulator = Emulator::new().with("QEMU_SYSTEM_X86_64", no_text("/q"));
    insta::assert_snapshot!(emulator.run(&["start", "--arch", "amd64"]), @"
    exit 2
    --- stdout

    --- stderr
    failed Find QEMU and the image ([time])
    error: `QEMU_SYSTEM_X86_64` leads to `/q/caf�`, which is not valid UTF-8: neither records nor QEMU's monitor can name it

    hint: rename it, or let `QEMU_SYSTEM_X86_64` name a link to it, in ASCII or UTF-8
    ");
}
