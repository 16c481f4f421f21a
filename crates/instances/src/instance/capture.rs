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

/// The options of a capture.
pub struct CaptureOptions {
    /// The machine.
    pub machine: MachineOptions,
    /// How memory is kept; by default the best strategy that is possible.
    pub strategy: Option<Strategy>,
    /// Whether to create one even if there is one that fits.
    pub force: bool,
}

impl Instance {
    /// Creates a snapshot of the machine that a new session of this instance would have, or returns the one that there is. The instance
    /// itself does not change.
    ///
    /// # Errors
    /// When the machine does not get ready or its state cannot be kept. Earlier snapshots are still there.
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
