//! One file a task; each adds `run` to its own flags.

mod bench;
mod build_image;
mod build_qemu;
mod cargo;
mod dist;
mod fuzz_api;
mod kvm;
mod linters;
mod quickstart;
mod release;
mod setup;
mod smoke;
mod soak;
mod test;
mod vm_tier;
