//! The health check of a service.

use std::time::Duration;

/// What replaces the health check of the image. What it does not say is as the image has it, or the default of the runtime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthCheck {
    /// There is none.
    Disabled,
    /// A check.
    Check {
        /// What is run.
        test: Option<HealthTest>,
        /// Time between two checks.
        interval: Option<Duration>,
        /// Time after which a check has failed.
        timeout: Option<Duration>,
        /// Failures in a row that make the service unhealthy.
        retries: Option<u32>,
        /// Time after the start during which failures do not count.
        start_period: Option<Duration>,
        /// Time between two checks during that period.
        start_interval: Option<Duration>,
    },
}

/// The program of a health check; 0 is healthy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HealthTest {
    /// A program and its arguments.
    Exec(Vec<String>),
    /// A line for the shell of the image.
    Shell(String),
}
