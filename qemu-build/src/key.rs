//! The key of a build: everything that its result depends on, in one short name.

use base::digest::{self, Sha256};
use serde::Serialize;

use crate::abi::HostAbi;
use crate::recipe::{self, Input};
use crate::sources::Sources;

/// Counts up when this program builds or installs in another way from the same inputs.
const FORMAT: u32 = 1;

/// Hexadecimal digits of the digest that the key keeps.
const DIGITS: usize = 12;

/// Everything that the result of a build depends on.
///
/// Every pinned source counts, not the one that happened to be fetched: all hold the same release, and the key must be
/// known before anything is fetched.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Inputs {
    format: u32,
    version: String,
    sources: Vec<Sha256>,
    patches: Vec<InputDigest>,
    devices: Vec<InputDigest>,
    wheels: InputDigest,
    configure: Vec<String>,
    host: HostAbi,
}

#[derive(Debug, Clone, Serialize)]
struct InputDigest {
    name: String,
    sha256: Sha256,
}

impl InputDigest {
    fn of(&(name, content): &Input) -> Self {
        Self { name: name.to_owned(), sha256: digest::of_bytes(content.as_bytes()) }
    }
}

impl Inputs {
    fn of(sources: &Sources, host: HostAbi) -> Self {
        Self {
            format: FORMAT,
            version: sources.version.clone(),
            sources: sources.list.iter().map(|source| source.sha256).collect(),
            patches: recipe::PATCHES.iter().map(InputDigest::of).collect(),
            devices: recipe::DEVICES.iter().map(InputDigest::of).collect(),
            wheels: InputDigest::of(&recipe::WHEELS),
            configure: recipe::configure_args(&host.os),
            host,
        }
    }

    fn key(&self) -> String {
        let json = serde_json::to_vec(self).expect("text and numbers always serialise");
        format!("{}-{}", self.version, digest::of_bytes(&json).first_digits(DIGITS))
    }
}

/// Name of a build of the pinned QEMU on one kind of host: "10.2.2-0123456789ab".
#[derive(Debug, Clone)]
pub struct Key {
    text: String,
    pub(crate) inputs: Inputs,
}

impl Key {
    /// Returns the key on this host.
    pub async fn of_this_host() -> Self {
        let inputs = Inputs::of(&Sources::pinned(), HostAbi::of_this_host().await);
        Self { text: inputs.key(), inputs }
    }

    /// Returns the key as it names directories and CI caches.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn inputs() -> Inputs {
        let host = HostAbi {
            arch: "x86_64".to_owned(),
            os: "linux".to_owned(),
            distribution: "debian 12".to_owned(),
            libc: "glibc 2.36".to_owned(),
        };
        Inputs::of(&Sources::pinned(), host)
    }

    #[test]
    fn equal_inputs_have_one_key_which_begins_with_the_version() {
        let key = inputs().key();
        assert_eq!(key, inputs().key());
        assert!(key.starts_with("10.2.2-") && key.len() == "10.2.2-".len() + DIGITS, "{key}");
    }

    fn other() -> Sha256 {
        digest::of_bytes(b"another file")
    }

    #[test]
    fn every_input_changes_the_key() {
        let changes: [fn(&mut Inputs); 10] = [
            |inputs| inputs.format += 1,
            |inputs| inputs.version.push('0'),
            |inputs| inputs.sources[0] = other(),
            |inputs| inputs.patches[0].sha256 = other(),
            |inputs| inputs.devices[1].sha256 = other(),
            |inputs| inputs.wheels.sha256 = other(),
            |inputs| inputs.configure.push("--enable-lto".to_owned()),
            |inputs| inputs.host.arch = "aarch64".to_owned(),
            |inputs| inputs.host.distribution = "debian 13".to_owned(),
            |inputs| inputs.host.libc = "glibc 2.41".to_owned(),
        ];
        let mut keys = std::collections::HashSet::from([inputs().key()]);
        for (n, change) in changes.iter().enumerate() {
            let mut other = inputs();
            change(&mut other);
            assert!(keys.insert(other.key()), "change {n} does not count");
        }
    }
}
