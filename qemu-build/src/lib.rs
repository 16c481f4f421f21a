//! QEMU from source: fetch, verify, patch, configure, compile, install into a prefix of its own, once per host.
//!
//! What is built is pinned in `sources.toml`, `requirements.txt`, `patches/` and `devices/`. `docs/qemu.md` gives the
//! reasons and the measurements.

mod abi;
mod archive;
mod build;
mod error;
mod firmware;
mod key;
mod ninja;
mod obtain;
mod prefix;
mod recipe;
mod sources;
mod tree;

pub use build::{Built, Request, build, existing};
pub use error::{BuildError, Tried};
pub use key::Key;
