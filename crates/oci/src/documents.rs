//! The JSON documents of images: OCI image specification 1.1, and `manifest.json` of `docker save`.
//!
//! Crate `oci-spec` has these types without Docker's health check and `manifest.json`, for 14 more crates; these few are ours.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use base::digest::Sha256;
use serde::{Deserialize, Deserializer};

/// Longest document in bytes, as registries have it.
pub(crate) const LIMIT: u64 = 4 << 20;

/// Media types of an index: OCI's and Docker's.
const INDEX_TYPES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];

/// `sha256:` and 64 digits; no image uses another algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Digest(pub(crate) Sha256);

impl TryFrom<String> for Digest {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits =
            text.strip_prefix("sha256:").ok_or_else(|| format!("the digest {text:?} is not a SHA-256"))?;
        Sha256::from_str(digits).map(Self).map_err(|error| error.to_string())
    }
}

/// An index: `index.json`, or a list of one image for several platforms.
#[derive(Debug, Deserialize)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// What a document says about another file.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: u64,
    pub(crate) platform: Option<Platform>,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether it describes an index.
    pub(crate) fn is_index(&self) -> bool {
        INDEX_TYPES.contains(&self.media_type.as_str())
    }
}

/// An operating system and an architecture, in Go's words.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Platform {
    pub(crate) os: String,
    pub(crate) architecture: String,
}

impl Platform {
    /// Whether it is Linux on `architecture`.
    pub(crate) fn is_linux(&self, architecture: &str) -> bool {
        self.os == "linux" && self.architecture == architecture
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)
    }
}

/// The manifest of one image for one platform.
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// One image of a `docker save` archive.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Saved {
    pub(crate) config: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) repo_tags: Vec<String>,
    pub(crate) layers: Vec<String>,
}

/// Reads null as the default, as Go does.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}
