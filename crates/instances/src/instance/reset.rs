//! Back to the pristine image.

use base::events::Reporter;
use base::files::present;

use super::error::InstanceError;
use super::live::Live;
use super::record::{self, Record, RecordError};
use super::{Instance, remove};

impl Instance {
    /// Throws away everything that was written since the first start, and stops the instance for that if it runs. Its
    /// ports stay as they were chosen. Gives whether there was anything to throw away.
    ///
    /// This is also the way out of every fault: a record that cannot be read goes too.
    ///
    /// # Errors
    /// When QEMU cannot be ended, as one that runs elsewhere, or a file cannot be removed.
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
            // It may be somebody else's, and so may the machine that it speaks of.
            Err(RecordError::File(error)) => return Err(error.into()),
            Err(_) => {
                self.end_unknown().await?;
                self.clear_live()?;
            }
        }
        // Perhaps by a machine that no record speaks of any more.
        self.released().await
    }
}
