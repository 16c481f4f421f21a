//! What an instance's data stands on: that must not be removed.

use super::dir::InstanceDir;
use vm::error::one_line;

use super::record::{self, Record, Session};
use super::state::{Fault, unknown_overlay};

/// What an instance's data stands on.
#[derive(Debug)]
pub(crate) enum Needs {
    /// It has no data.
    Nothing,
    /// What the session says.
    Of(Box<Session>),
    /// Perhaps any image and any snapshot, and why that cannot be told.
    Any(String),
}

impl Needs {
    /// That of the instance in `dir`. What cannot be looked at, or makes no sense, counts as data.
    pub(crate) fn of(dir: &InstanceDir) -> Self {
        let record = match record::read::<Record>(&dir.record()) {
            Ok(record) => record,
            Err(error) => return Self::Any(one_line(&error)),
        };
        if let Some(session) = record.and_then(|record| record.session) {
            return Self::Of(Box::new(session));
        }
        match unknown_overlay(dir) {
            Ok(None) => Self::Nothing,
            Ok(Some(overlay)) => Self::Any(Fault::UnknownOverlay(overlay).to_string()),
            Err(error) => Self::Any(one_line(&error)),
        }
    }
}
