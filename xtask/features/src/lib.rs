//! No code: the features that the members of this workspace ask of the crates that `xtask` needs too.
//!
//! Cargo compiles a crate, and every crate that uses it, once for each set of features. `cargo xtask` builds `xtask` alone, while the tests
//! are built from the whole workspace. As `xtask` depends on this crate, both ask for the same features, and what is compiled for the one
//! serves the other. A test of `xtask` says what is missing here.
