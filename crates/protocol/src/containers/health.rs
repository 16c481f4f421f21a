//! How to see whether a container works.

use serde::{Deserialize, Serialize};

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// A program in the container and its arguments; exit status 0 means that the container works.
    pub test: Vec<String>,
    /// Milliseconds from the end of a check to the next one.
    pub interval_ms: u64,
    /// Milliseconds after which a check has failed.
    pub timeout_ms: u64,
    /// Failures in a row after which the container does not work.
    pub retries: u32,
    /// Milliseconds after the start during which failures do not count.
    pub start_period_ms: u64,
    /// Milliseconds from the end of a check to the next one during that period.
    pub start_interval_ms: u64,
}

/// When the service of a container counts as started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ready {
    /// When its program runs.
    #[default]
    Started,
    /// When its health check has passed once.
    Healthy,
}
