//! What the tests that boot virtual machines share: a home of their own around the real image and the real QEMU, the built
//! program, requests through the forwarded ports, and commands inside the guest.
//!
//! A missing prerequisite panics with what to run; it never skips a test.

pub mod api;
pub mod built_stack;
pub mod clients;
pub mod control_group;
pub mod disk;
pub mod emulator;
pub mod example_images;
pub mod followed;
pub mod fuzz_api;
pub mod guest;
pub mod home;
pub mod load;
pub mod ports;
pub mod processes;
pub mod quota_disk;
pub mod seccomp;
pub mod small_disk;
pub mod soak;
pub mod stack;
pub mod terminal;

use std::path::PathBuf;
use std::str::FromStr;

/// Variable with the path of the built `emulator`.
pub const EMULATOR_VARIABLE: &str = "VM_TESTS_EMULATOR";

/// Variable with the path of the built `xtask`.
pub const XTASK_VARIABLE: &str = "VM_TESTS_XTASK";

/// Variable with the home that holds the image and QEMU under test. It is only read.
pub const SOURCE_HOME_VARIABLE: &str = "VM_TESTS_HOME";

/// The path in an environment variable that `cargo xtask test` sets.
///
/// # Panics
/// When the variable is missing.
pub fn path_from_env(variable: &str) -> PathBuf {
    let missing = || panic!("{variable} is not set: run `cargo xtask test --only-vm`");
    base::variables::path(variable).unwrap_or_else(missing)
}

/// The number in an environment variable, if that is set.
///
/// # Panics
/// When it is not such a number.
pub fn number_from_env<T: FromStr>(variable: &str) -> Option<T> {
    let value = base::variables::text(variable)?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {value}")))
}
