//! What an instance's data needs: that must not be removed.

use vm::error::one_line;

use super::dir::InstanceDir;
use super::record::{self, Record};
use super::state::{Fault, unknown_overlay};
use crate::images::users::Needs;

/// What the data of the instance in `dir` needs; none where there is no data. What cannot be read, or is invalid, counts as
/// data.
pub(super) fn of(dir: &InstanceDir) -> Option<Needs> {
    let record = match record::read::<Record>(&dir.record()) {
        Ok(record) => record,
        Err(error) => return Some(Needs::Any(one_line(&error))),
    };
    if let Some(session) = record.and_then(|record| record.session) {
        return Some(Needs::Of { image: session.image, snapshot: session.snapshot });
    }
    match unknown_overlay(dir) {
        Ok(None) => None,
        Ok(Some(overlay)) => Some(Needs::Any(Fault::UnknownOverlay(overlay).to_string())),
        Err(error) => Some(Needs::Any(one_line(&error))),
    }
}
