//! Builds the image: base system, provisioning in a virtual machine, boot files, compressed disk.
//!
//! `docs/image.md` describes the stages and the formats. Never prints: what happens is reported as [`host::events`]. Every
//! stage may be cancelled by dropping its future, which ends the processes that it started and removes its files.

pub mod bundle;
pub mod disk;
pub mod esp;
pub mod ext4;
pub mod initrd;
pub mod inputs;
pub mod modules;
pub mod source;
pub mod sparse;
pub mod stackd;
