//! Virtual machines: description, QEMU process, QMP and QGA, disks and volumes, instances.
//!
//! Never prints: what happens is reported as [`host::events`].

pub mod home;
