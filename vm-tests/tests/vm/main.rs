//! Tests that boot the real image in the real QEMU through the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accelerator;
mod browser;
mod build;
mod image;
mod inside;
mod lifecycle;
mod recovery;
mod smoke;
mod streams;
