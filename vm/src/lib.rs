//! Virtual machines: description, QEMU process, QMP and QGA, disks and volumes, instances.
//!
//! Never prints: what happens is reported as [`host::events`].

pub mod accel;
pub mod agent;
mod backlog;
pub mod boot_files;
pub mod checked;
mod clock;
pub mod console;
pub mod disk;
mod disk_lock;
pub mod doctor;
pub mod error;
pub mod failure;
pub mod home;
pub mod images;
pub mod instance;
pub mod machine;
pub mod memory;
pub mod place;
pub mod process;
pub mod proven;
pub mod qcow2;
pub mod qemu;
pub mod qga;
pub mod qmp;
pub mod runtime;
pub mod saving;
pub mod snapshot;
mod socket;
pub mod stack_machine;
pub mod stamp;
mod tail;
pub mod utf8;
pub mod version;
pub mod volume;
mod wire;
