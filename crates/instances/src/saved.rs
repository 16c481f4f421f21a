//! The saved state of a machine, for snapshots and suspensions: memory and devices in files beside a frozen disk, a description
//! of what they fit, and a check that they are unchanged.
//!
//! A snapshot and a suspended machine consist of a saved state, what is below it, and who may use it.

pub(crate) mod files;
pub mod fingerprint;
pub mod frozen;
mod host_cpu;
pub(crate) mod load;
mod packing;
pub(crate) mod save;
pub mod state;

pub use fingerprint::Fingerprint;
pub use state::SavedState;
