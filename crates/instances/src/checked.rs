//! Checks of the values of records before anything relies on them: numbers are in range, names stay in their directory.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use base::events::Timing;
use base::text::beginning;
use image::stack::{CPUS_LIMIT, MEMORY_MIB_LIMIT, check};
use serde::de::DeserializeOwned;
use vm::machine::Topology;
use vm::process::ProcessIdentity;

/// Version of the format of records that name no version.
pub const SCHEMA_VERSION: u32 = 1;

/// Most entries of a list or a map.
const ENTRIES_LIMIT: usize = 256;

/// Limit of the count of machines on an overlay: it is never reached by counting.
const GENERATION_LIMIT: u64 = 1 << 53;

/// Longest possible duration, in seconds: a hundred years.
const SECONDS_LIMIT: f64 = 100.0 * 366.0 * 86_400.0;

/// How much of a value is shown in a message, in characters.
const VALUE_LIMIT: usize = 80;

/// An invalid value in a record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} cannot be {value}")]
pub struct Impossible {
    what: &'static str,
    value: String,
}

/// A record that is checked where it is read.
pub trait Checked {
    /// Version of the format that this program writes.
    const VERSION: u32 = SCHEMA_VERSION;

    /// Reads `bytes`, which a program wrote in the format of `version`: this one's, or an older one.
    ///
    /// # Errors
    /// When they are not such a record.
    fn parse(version: u32, bytes: &[u8]) -> serde_json::Result<Self>
    where
        Self: DeserializeOwned,
    {
        let _ = version;
        serde_json::from_slice(bytes)
    }

    /// Checks that every value is valid.
    ///
    /// # Errors
    /// With the first that is not.
    fn check(&self) -> Result<(), Impossible>;
}

/// Returns the error that `what` cannot be `value`.
pub(crate) fn impossible<T>(what: &'static str, value: impl std::fmt::Debug) -> Result<T, Impossible> {
    Err(Impossible { what, value: beginning(&format!("{value:?}"), VALUE_LIMIT).into_owned() })
}

/// Converts the result of checking a part of a description that a record repeats.
pub(crate) fn described(what: &'static str, checked: Result<(), String>) -> Result<(), Impossible> {
    checked.map_err(|value| Impossible { what, value: format!("that: {value}") })
}

/// Checks the name of something in a directory: it must not lead out of it.
pub(crate) fn entry(what: &'static str, name: &str) -> Result<(), Impossible> {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(only)), None) if only == name);
    if plain && !name.starts_with('.') && name.len() < 256 && !name.contains('\0') {
        Ok(())
    } else {
        impossible(what, name)
    }
}

/// Checks the names of files in a directory.
pub(crate) fn entries<T>(what: &'static str, files: &BTreeMap<String, T>) -> Result<(), Impossible> {
    few(what, files.len())?;
    files.keys().try_for_each(|name| entry(what, name))
}

/// Checks a path in a record: relative to the home and not out of it, or absolute where a person has given it.
pub(crate) fn named(what: &'static str, path: &Path) -> Result<(), Impossible> {
    let inside = || path.components().all(|part| matches!(part, Component::Normal(_)));
    let something = !path.as_os_str().is_empty();
    if path.is_absolute() || (something && inside()) { Ok(()) } else { impossible(what, path) }
}

/// Checks that a path is absolute.
pub(crate) fn absolute(what: &'static str, path: &Path) -> Result<(), Impossible> {
    if path.is_absolute() { Ok(()) } else { impossible(what, path) }
}

/// Checks how often machines have been started on an overlay.
pub(crate) fn generation(number: u64) -> Result<(), Impossible> {
    if number < GENERATION_LIMIT { Ok(()) } else { impossible("the generation", number) }
}

/// Checks a duration.
pub(crate) fn seconds(what: &'static str, seconds: f64) -> Result<(), Impossible> {
    if (0.0..SECONDS_LIMIT).contains(&seconds) { Ok(()) } else { impossible(what, seconds) }
}

/// Checks the durations of phases.
pub(crate) fn timings(timings: &[Timing]) -> Result<(), Impossible> {
    few("the phases", timings.len())?;
    timings.iter().try_for_each(|timing| seconds("the time of a phase", timing.seconds))
}

/// Checks the id of a process.
pub(crate) fn process(process: ProcessIdentity) -> Result<(), Impossible> {
    // Zero and negative numbers mean groups of processes to the operating system.
    if process.pid > 0 { Ok(()) } else { impossible("the process id", process.pid) }
}

/// Checks that a count is not implausibly large.
pub(crate) fn few(what: &'static str, count: usize) -> Result<(), Impossible> {
    if count <= ENTRIES_LIMIT { Ok(()) } else { impossible(what, count) }
}

impl Checked for Topology {
    fn check(&self) -> Result<(), Impossible> {
        if !(1..=CPUS_LIMIT).contains(&self.cpus) {
            return impossible("the number of CPUs", self.cpus);
        }
        if !(1..=MEMORY_MIB_LIMIT).contains(&self.memory_mib) {
            return impossible("the memory in MiB", self.memory_mib);
        }
        few("the number of disks", self.disks.len())?;
        few("the number of channels", self.ports.len())
    }
}

/// Checks the name that a manifest gives to a port or a secret.
pub(crate) fn label(what: &'static str, name: &str) -> Result<(), Impossible> {
    described(what, check::name(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_out_of_their_directory_are_refused() {
        for name in ["", ".", "..", ".hidden", "a/b", "../a", "/a", "a/", "a\0b", &"a".repeat(256)] {
            assert!(entry("the name", name).is_err(), "{name:?}");
        }
        entry("the name", "amd64-template-20260101T000000Z-1f").unwrap();
        for path in ["", "..", "images/../../etc/shadow", "./image"] {
            assert!(named("the image", Path::new(path)).is_err(), "{path:?}");
        }
        named("the image", Path::new("images/a.qcow2")).unwrap();
        named("the image", Path::new("/a/b")).unwrap();
        assert!(absolute("the socket", Path::new("a/b")).is_err());
    }

    #[test]
    fn numbers_out_of_range_are_refused_with_what_they_are() {
        let text = seconds("the time", -1.0).unwrap_err().to_string();
        assert_eq!(text, "the time cannot be -1.0");
        assert!(seconds("the time", f64::MAX).is_err() && seconds("the time", f64::NAN).is_err());
        assert!(generation(u64::MAX).is_err());
        for pid in [0, -1, i32::MIN] {
            assert!(process(ProcessIdentity { pid, started: 1 }).is_err());
        }
        let mut topology = crate::saved::fingerprint::tests::sample().topology;
        topology.check().unwrap();
        topology.memory_mib = u64::MAX;
        assert!(topology.check().is_err());
    }
}
