//! The data of virtual machines: instances, images and snapshots.
//!
//! It never prints: progress is reported as [`base::events`].

pub mod attendant;
pub mod checked;
pub mod doctor;
pub mod failure;
mod guest_link;
pub mod home;
pub mod images;
pub mod instance;
pub mod name;
pub mod ports;
pub mod prune;
pub mod saved;
mod secrets;
pub mod snapshot;
pub mod usage;
pub mod worktree;

pub use instance::registry;
