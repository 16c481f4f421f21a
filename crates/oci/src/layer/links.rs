//! Hard links across layers. A directory of overlayfs shows the link count of the layer that has the file, so that all names of a
//! file have to be in one layer, and no others.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::changes::Changes;
use super::tree::{Inode, Node, Nodes};

/// Copies the names of each file of `lower` that the layer has linked again, or taken some names from, into the layer.
pub(super) fn keep_together(changes: &mut Changes<'_>, lower: &Nodes) {
    let mut names: HashMap<*const Inode, Vec<&PathBuf>> = HashMap::new();
    for (path, node) in lower {
        if let Node::Leaf(inode) = node {
            names.entry(Arc::as_ptr(inode)).or_default().push(path);
        }
    }
    let leaf = |node: &Node| match node {
        Node::Leaf(inode) => Some(Arc::as_ptr(inode)),
        Node::Directory(_) => None,
    };
    let linked: HashSet<_> = changes.upper.values().filter_map(leaf).collect();
    let mut torn: Vec<PathBuf> = Vec::new();
    for (inode, paths) in &names {
        let is_linked = linked.contains(inode);
        if paths.len() == 1 && !is_linked {
            continue;
        }
        let is_left =
            |path: &&&PathBuf| !changes.upper.contains_key(**path) && changes.lower_at(path).is_some();
        let left: Vec<&&PathBuf> = paths.iter().filter(is_left).collect();
        if is_linked || left.len() < paths.len() {
            torn.extend(left.into_iter().map(|path| (*path).clone()));
        }
    }
    for path in torn {
        let Some(node) = lower.get(&path) else { continue };
        if let Some(dir) = path.parent() {
            changes.create_directories(dir);
        }
        changes.upper.insert(path.clone(), node.clone());
        changes.hidden.insert(path);
        changes.depends = true;
    }
}
