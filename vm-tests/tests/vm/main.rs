//! Tests that boot the real image in the real QEMU through the built program.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod accelerator;
mod agents;
mod arm64;
mod browser;
mod build;
mod capture;
mod clock;
mod compose_keys;
mod connections;
mod containers;
mod damage;
mod examples;
mod exec;
mod exports;
mod exposure;
mod faults;
mod fuzz_api;
mod hooks;
mod image;
mod inside;
mod killed;
mod last_version;
mod lifecycle;
mod limits;
mod many;
mod moved;
mod namespaces;
mod other_stack;
mod pull;
mod races;
mod reach;
mod recipes;
mod recovery;
mod rotation;
mod run;
mod secrecy;
mod sessions;
mod smoke;
mod soak;
mod sockets;
mod streams;
mod surroundings;
mod topology;
mod uniqueness;
