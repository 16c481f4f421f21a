//! A snapshot on demand.

use base::events::Reporter;
use vm::saving::Strategy;

use super::Instance;
use super::error::InstanceError;
use super::record::Record;
use super::registry::Registry;
use super::start::MachineOptions;
use crate::images::store::Images;
use crate::snapshot::Snapshot;

/// What a person asks of a capture.
pub struct CaptureOptions {
    /// The machine.
    pub machine: MachineOptions,
    /// How memory is kept; the best way that is possible when it is not said.
    pub strategy: Option<Strategy>,
    /// Whether to make one even if there is one that fits.
    pub force: bool,
}

impl Instance {
    /// Makes a snapshot of the machine that a new session of this instance would have, or gives the one that there is. The instance
    /// itself takes no part.
    ///
    /// # Errors
    /// When the machine does not come up or its state cannot be kept. Whatever snapshots there were are still there.
    pub async fn capture(
        &self,
        options: &CaptureOptions,
        reporter: &dyn Reporter,
    ) -> Result<Snapshot, InstanceError> {
        let _images = Images::new(&self.home).keep(reporter).await?;
        let record = Record::new(self.name.clone());
        let plan = self.machine_plan(&record, &options.machine, reporter).await?;
        let strategy = plan.strategy(options.strategy)?;
        Ok(plan
            .capture(&self.home, &Registry::new(&self.home), strategy, options.force)
            .run(reporter)
            .await?)
    }
}
