//! Layers: from the archive of an image to one that GNU tar unpacks into a directory for overlayfs.

mod changes;
mod links;
mod path;
pub(crate) mod store;
mod tree;
mod unpack;
