//! The saved state that a machine was resumed from: it is of no use any more.

use base::files::FileError;

use crate::instance::dir::InstanceDir;
use crate::instance::remove_dir;

/// Removes it.
///
/// # Errors
/// When that fails.
pub(super) fn remove(dir: &InstanceDir) -> Result<(), FileError> {
    remove_dir(&dir.spent())
}
