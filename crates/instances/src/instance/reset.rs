//! Back to the pristine image.

use base::events::Reporter;
use base::files::present;

use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record, RecordError};
use super::{Instance, remove};

impl Instance {
    /// Deletes everything that was written since the first start, and stops the instance for that if it runs. Its
    /// ports stay as they were chosen. Returns whether there was anything to delete.
    ///
    /// This also repairs every fault: a record that cannot be read is removed too.
    ///
    /// # Errors
    /// When QEMU cannot be ended, for example because it runs elsewhere, or a file cannot be removed.
    pub async fn reset(&self, reporter: &dyn Reporter) -> Result<bool, InstanceError> {
        if !present(self.dir.root())? {
            return Ok(false);
        }
        let _lock = self.lock(reporter).await?;
        self.end_regardless().await?;
        match record::read::<Record>(&self.dir.record()) {
            Ok(_) => {}
            Err(RecordError::File(error)) => return Err(error.into()),
            Err(_) => {
                remove(&self.dir.record())?;
            }
        }
        self.discard_session()
    }

    /// Ends the machine, if one runs. Nothing on the disk matters any more, so the guest is not asked.
    pub(super) async fn end_regardless(&self) -> Result<(), InstanceError> {
        match record::read::<Live>(&self.dir.live()) {
            Ok(_) => self.clean_up().await?,
            // The record may be another user's, and so may its machine.
            Err(RecordError::File(error)) => return Err(error.into()),
            Err(_) => {
                self.end_unknown().await?;
                self.clear_live()?;
            }
        }
        // Perhaps by a machine that no record mentions any more.
        self.released().await
    }
}
