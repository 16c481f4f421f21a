//! Virtual machines: description, QEMU process, QMP and QGA, memory, disks and volumes. Knows no snapshot and no instance.
//!
//! Never prints: what happens is reported as [`base::events`].

pub mod accel;
pub mod agent;
pub mod backlog;
pub mod boot_files;
pub mod console;
pub mod disk;
pub mod disk_lock;
pub mod error;
pub mod exec;
pub mod home;
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
pub mod socket;
pub mod stack_machine;
pub mod stamp;
pub mod tail;
pub mod utf8;
pub mod version;
pub mod volume;
mod wire;
