//! Environment variables by one rule: one that is set to nothing is not set. Workflows and scripts pass on what they do not know as
//! nothing.
//!
//! `clippy.toml` keeps other ways to read them out of the workspace. Flags that variables stand in for are read by
//! [`command_line`](crate::command_line).

use std::ffi::OsString;
use std::path::PathBuf;

/// Variable that names the directory for temporary files.
pub const TEMPORARY_VARIABLE: &str = "TMPDIR";

/// Returns the value of the variable `name`, as it is.
#[expect(clippy::disallowed_methods, reason = "the place that they are read in")]
pub fn raw(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

/// Whether the variable `name` exists and is empty: for messages that say that it is not set.
#[expect(clippy::disallowed_methods, reason = "the place that they are read in")]
pub fn is_set_to_nothing(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| value.is_empty())
}

/// Returns the value as text. Bytes that are not UTF-8 become a replacement character, which every reader of a value refuses.
pub fn text(name: &str) -> Option<String> {
    raw(name).map(|value| value.to_string_lossy().into_owned())
}

/// Returns the value as a path.
pub fn path(name: &str) -> Option<PathBuf> {
    raw(name).map(PathBuf::from)
}

/// The user's own directory: `HOME`, else what the system has on record.
#[expect(clippy::disallowed_methods, reason = "the place that it is asked in")]
pub fn home_dir() -> Option<PathBuf> {
    std::env::home_dir().filter(|dir| !dir.as_os_str().is_empty())
}

/// Where temporary files go: `TMPDIR`, else `/tmp`.
pub fn temp_dir() -> PathBuf {
    path(TEMPORARY_VARIABLE).unwrap_or_else(|| PathBuf::from("/tmp"))
}
