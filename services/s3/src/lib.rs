//! S3 for programs that are developed against it: the protocol is that of crate `s3s`, the storage is our own.
//!
//! What an object is, is in PostgreSQL, and so is the content of small ones: one commit is the whole put. Larger content is in files, which
//! are on the disk before the row that names them. So what was answered is there after a crash, and nothing is half there.

mod access;
mod acl;
mod api;
mod blobs;
mod body;
mod checksums;
mod conditions;
mod cors;
mod errors;
mod front;
mod host;
mod part;
mod policy;
mod self_test;
mod settings;
mod signing;
mod store;
mod tags;
#[cfg(test)]
mod tests;

pub use part::{NAME, migrate, open};
