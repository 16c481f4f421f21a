//! Builds the image: base system, provisioning in a virtual machine, boot files, compressed disk.
//!
//! `docs/image.md` describes the stages and the formats. It never prints: progress is reported as `base::events`. Every
//! stage may be cancelled by dropping its future, which ends the processes that it started and removes its files.

pub mod base;
pub mod build;
pub mod bundle;
pub mod commit;
pub mod containers;
pub mod disk;
pub mod error;
pub mod esp;
pub mod example_image;
pub mod ext4;
pub mod guest_files;
pub mod host_machine;
pub mod initrd;
pub mod inputs;
mod job;
pub mod kernel;
mod leftovers;
mod mmdebstrap;
pub mod modules;
pub mod packages;
mod place;
pub mod provision;
pub mod seed;
pub mod source;
pub mod stackd;
pub mod toolchain;
