//! What is in a root file system when some of its layers lie on each other.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::tape::{Content, Meta};

/// What is at a path.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Directory(Arc<Meta>),
    /// Anything else. Paths that share an inode are hard links to each other.
    Leaf(Arc<Inode>),
}

/// A file, symbolic link or fifo.
#[derive(Debug)]
pub(super) struct Inode {
    pub(super) meta: Meta,
    pub(super) kind: Kind,
}

/// What an inode is.
#[derive(Debug)]
pub(super) enum Kind {
    File(Content),
    Symlink(Vec<u8>),
    Fifo,
}

/// Nodes by path. Paths are ordered by component, so that what is in a directory directly follows it.
pub(super) type Nodes = BTreeMap<PathBuf, Node>;

/// Removes what is below `dir`.
pub(super) fn remove_below(nodes: &mut Nodes, dir: &Path) {
    let after = (Bound::Excluded(dir), Bound::Unbounded);
    let below = nodes.range::<Path, _>(after).map(|(path, _)| path).take_while(|path| path.starts_with(dir));
    let below: Vec<PathBuf> = below.cloned().collect();
    for path in below {
        nodes.remove(&path);
    }
}
