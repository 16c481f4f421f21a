//! The configuration of an image: what runs in it, and how.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::documents::{Digest, Platform, or_default};

/// The configuration file.
#[derive(Debug, Deserialize)]
pub(crate) struct ConfigFile {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) config: Config,
    pub(crate) rootfs: RootFs,
}

/// The layers, as digests of their unpacked archives.
#[derive(Debug, Deserialize)]
pub(crate) struct RootFs {
    pub(crate) diff_ids: Vec<Digest>,
}

/// How to run what is in an image. Nothing in it has been interpreted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Config {
    /// Program and first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Arguments of the entry point, or program and arguments if there is no entry point.
    pub cmd: Option<Vec<String>>,
    /// Variables, each as `NAME=VALUE`.
    #[serde(deserialize_with = "or_default")]
    pub env: Vec<String>,
    /// User and perhaps group, by name or number: `node`, `1000:1000`; empty for root.
    #[serde(deserialize_with = "or_default")]
    pub user: String,
    /// Absolute directory that the program starts in; empty for the root.
    #[serde(deserialize_with = "or_default")]
    pub working_dir: String,
    /// Ports as `8080/tcp`, sorted.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// Directories whose content belongs to the instance, sorted.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Signal that ends the program: a name or a number.
    pub stop_signal: Option<String>,
    /// How to see whether the program works (an addition of Docker).
    pub healthcheck: Option<Healthcheck>,
    /// Free text by key.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
}

/// A health check; a duration of zero means the default of the program that runs it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", program, arguments…]` or `["CMD-SHELL", text]`; empty to inherit.
    #[serde(deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(deserialize_with = "nanoseconds")]
    pub interval: Duration,
    /// Longest time of a check.
    #[serde(deserialize_with = "nanoseconds")]
    pub timeout: Duration,
    /// Time after the start in which failures do not count.
    #[serde(deserialize_with = "nanoseconds")]
    pub start_period: Duration,
    /// Time between two checks during the start period.
    #[serde(deserialize_with = "nanoseconds")]
    pub start_interval: Duration,
    /// Failures in a row that make it unhealthy; 0 for the default.
    pub retries: u32,
}

/// Reads the keys of a map whose values say nothing.
fn keys<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let map: BTreeMap<String, Value> = or_default(from)?;
    Ok(map.into_keys().collect())
}

fn nanoseconds<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    u64::deserialize(from).map(Duration::from_nanos)
}
