//! A line of a log, wherever it was written.

use serde::Serialize;
use time::OffsetDateTime;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// Where it comes from: a service's name, [`SERIAL`](super::logs::SERIAL) or [`QEMU`](super::logs::QEMU).
    pub source: String,
    /// When it was written, where that is known.
    #[serde(with = "time::serde::rfc3339::option")]
    pub time: Option<OffsetDateTime>,
    /// The line, without control characters.
    pub text: String,
}
