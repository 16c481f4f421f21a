//! Virtual machines: description, QEMU process, QMP and QGA, disks and volumes, instances.
//!
//! Never prints: what happens is reported as [`host::events`].

pub mod accel;
pub mod boot_files;
pub mod disk;
pub mod doctor;
pub mod error;
pub mod home;
pub mod instance;
pub mod machine;
pub mod process;
pub mod qemu;
pub mod qga;
pub mod qmp;
pub mod runtime;
pub mod stamp;
pub mod volume;
mod wire;
