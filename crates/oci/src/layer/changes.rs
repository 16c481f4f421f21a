//! What a layer changes in the tree of the layers below it: the meaning of its entries, in the order in which they are there.
//!
//! The rules are those of `umoci unpack`, which a test compares with. Names lead through symbolic links of lower layers, within the
//! root of the image; that they lead through one of the same layer is an error, because only attacks need it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::path::{self, Name};
use super::tree::{Inode, Kind, Node, Nodes, remove_below};
use crate::error::Fault;
use crate::tape::{Body, Entry, Meta};

/// Most symbolic links that one name leads through, as in Linux.
const LINKS: usize = 40;

/// Most entries of a layer.
const ENTRIES: usize = 1 << 20;

/// Attributes that are not the image's: labels of the host that built it, and what overlayfs keeps for itself. Overlayfs shows
/// none of the latter, and would follow them.
const FOREIGN: [&[u8]; 3] = [b"security.selinux", b"trusted.overlay.", b"user.overlay."];

/// A layer on top of others.
#[derive(Debug)]
pub(super) struct Changes<'a> {
    lower: &'a Nodes,
    /// What the layer has.
    pub(super) upper: Nodes,
    /// Lower layers are hidden at these paths, which they have, and below them.
    pub(super) hidden: BTreeSet<PathBuf>,
    /// Lower layers are hidden below these directories.
    pub(super) emptied: BTreeSet<PathBuf>,
    /// Whether something would be different on other layers.
    pub(super) depends: bool,
}

/// A layer's changes when all of its entries are known.
#[derive(Debug)]
pub(super) struct Changed {
    /// What the layer has.
    pub(super) upper: Nodes,
    /// Directories of the layer that hide those of lower layers.
    pub(super) opaque: BTreeSet<PathBuf>,
    /// Paths that only lower layers have, and that are not there any more.
    pub(super) whiteouts: BTreeSet<PathBuf>,
    hidden: BTreeSet<PathBuf>,
    emptied: BTreeSet<PathBuf>,
    /// Whether something would be different on other layers.
    pub(super) depends: bool,
}

impl<'a> Changes<'a> {
    /// Begins a layer on top of the tree `lower`.
    pub(super) fn new(lower: &'a Nodes) -> Self {
        Self {
            lower,
            upper: BTreeMap::new(),
            hidden: BTreeSet::new(),
            emptied: BTreeSet::new(),
            depends: false,
        }
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, entry: Entry) -> Result<(), Fault> {
        if self.upper.len() + self.hidden.len() > ENTRIES {
            return Err(Fault::Entries { limit: ENTRIES });
        }
        match path::name(&entry.name)? {
            Name::Ignored => Ok(()),
            Name::Whiteout(path) => self.hide(&path),
            Name::Opaque(dir) => self.empty(&dir),
            Name::Path(path) => self.place(&path, entry),
        }
    }

    fn hide(&mut self, path: &Path) -> Result<(), Fault> {
        if let Some(path) = present(self.real(path))? {
            if self.lower.contains_key(&path) {
                self.hidden.insert(path);
            } else {
                self.depends = true;
            }
        }
        Ok(())
    }

    fn empty(&mut self, dir: &Path) -> Result<(), Fault> {
        let Some(dir) = present(self.resolve(dir))? else {
            return Ok(());
        };
        if matches!(self.upper.get(&dir).or_else(|| self.lower_at(&dir)), Some(Node::Directory(_))) {
            self.emptied.insert(dir);
        }
        Ok(())
    }

    fn place(&mut self, name: &Path, entry: Entry) -> Result<(), Fault> {
        let path = self.real(name)?;
        let mut meta = entry.meta;
        meta.xattrs.retain(|key, _| !FOREIGN.iter().any(|prefix| key.starts_with(prefix)));
        let kind = match entry.body {
            Body::Directory => {
                self.create_parents(&path);
                self.upper.insert(path, Node::Directory(Arc::new(meta)));
                return Ok(());
            }
            Body::Device => return Err(Fault::Device { path }),
            Body::HardLink(target) => {
                let inode = self.linked(&path, &target)?;
                return self.place_leaf(&path, inode);
            }
            Body::File(content) => Kind::File(content),
            Body::Symlink(target) if target.is_empty() => return Err(Fault::Name { name: path }),
            Body::Symlink(target) => Kind::Symlink(target),
            Body::Fifo => Kind::Fifo,
        };
        self.place_leaf(&path, Arc::new(Inode { meta, kind }))
    }

    fn place_leaf(&mut self, path: &Path, inode: Arc<Inode>) -> Result<(), Fault> {
        if path.as_os_str().is_empty() {
            return Err(Fault::Root);
        }
        self.create_parents(path);
        if self.lower.contains_key(path) {
            self.hidden.insert(path.to_owned());
        }
        if let Some(Node::Directory(_)) = self.upper.insert(path.to_owned(), Node::Leaf(inode)) {
            remove_below(&mut self.upper, path);
        }
        Ok(())
    }

    /// Returns the inode that a hard link at `path` is to.
    fn linked(&mut self, path: &Path, target: &[u8]) -> Result<Arc<Inode>, Fault> {
        let target = self.real(&path::clean(target)?)?;
        let missing = || Fault::Target { path: path.to_owned(), target: target.clone() };
        if target.starts_with(path) {
            return Err(missing());
        }
        let (node, is_lower) = match self.upper.get(&target) {
            Some(node) => (Some(node), false),
            None => (self.lower_at(&target), true),
        };
        let Some(Node::Leaf(inode)) = node else {
            return Err(missing());
        };
        let inode = Arc::clone(inode);
        self.depends |= is_lower;
        Ok(inode)
    }

    /// Returns what lower layers have at `path`, unless it is hidden.
    pub(super) fn lower_at(&self, path: &Path) -> Option<&'a Node> {
        let node = self.lower.get(path)?;
        let is_hidden = |dir: &Path| self.hidden.contains(dir) || dir != path && self.emptied.contains(dir);
        if path.ancestors().any(is_hidden) { None } else { Some(node) }
    }

    /// Follows the links that lead to the directory of `path`, but not `path` itself.
    fn real(&mut self, path: &Path) -> Result<PathBuf, Fault> {
        match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) => Ok(self.resolve(dir).map_err(|fault| fault.of_path(path))?.join(name)),
            _ => Ok(PathBuf::new()),
        }
    }

    /// Follows the links in the path of a directory, which need not exist.
    fn resolve(&mut self, dir: &Path) -> Result<PathBuf, Fault> {
        let mut left: VecDeque<OsString> = dir.iter().map(OsStr::to_owned).collect();
        let mut real = PathBuf::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            if part == ".." {
                real.pop();
                continue;
            }
            let next = real.join(part);
            let node = self.upper.get(&next);
            match node.or_else(|| self.lower_at(&next)) {
                Some(Node::Leaf(inode)) => {
                    let Kind::Symlink(target) = &inode.kind else {
                        return Err(Fault::NotDirectory { path: dir.to_owned(), file: next });
                    };
                    links += 1;
                    if node.is_some() || links > LINKS {
                        return Err(Fault::ThroughLink { path: dir.to_owned(), link: next });
                    }
                    if target.starts_with(b"/") {
                        real = PathBuf::new();
                    }
                    let parts =
                        target.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b"."));
                    let parts: Vec<OsString> = parts.map(|part| OsString::from_vec(part.to_vec())).collect();
                    parts.into_iter().rev().for_each(|part| left.push_front(part));
                    self.depends = true;
                }
                _ => real = next,
            }
            if real.as_os_str().as_bytes().len() > usize::from(u16::MAX) {
                return Err(Fault::Name { name: dir.to_owned() });
            }
        }
        Ok(real)
    }

    fn create_parents(&mut self, path: &Path) {
        if let Some(dir) = path.parent() {
            self.create_directories(dir);
        }
    }

    /// Adds those directories that the layer does not have yet, as lower layers have them.
    pub(super) fn create_directories(&mut self, dir: &Path) {
        for dir in dir.ancestors() {
            if self.upper.contains_key(dir) {
                return;
            }
            let meta = match self.lower_at(dir) {
                Some(Node::Directory(meta)) => Arc::clone(meta),
                _ => Arc::new(implied()),
            };
            self.depends |= *meta != implied();
            self.upper.insert(dir.to_owned(), Node::Directory(meta));
        }
    }

    /// Ends the layer.
    pub(super) fn finish(mut self) -> Changed {
        self.create_directories(Path::new(""));
        for dir in self.emptied.clone() {
            if matches!(self.lower_at(&dir), Some(Node::Directory(_))) {
                self.create_directories(&dir);
            }
        }
        let lower = self.lower;
        super::links::keep_together(&mut self, lower);
        let mut whiteouts = BTreeSet::new();
        for path in self.hidden.clone() {
            if self.upper.contains_key(&path) {
                continue;
            }
            // Overlayfs lists a whiteout that hides nothing where a directory is in one layer only.
            let parent = path.parent().unwrap_or(Path::new(""));
            if self.shows_below(parent) {
                self.create_parents(&path);
                whiteouts.insert(path);
            } else {
                self.depends = true;
            }
        }
        let is_directory = |dir: &&PathBuf| matches!(self.upper.get(*dir), Some(Node::Directory(_)));
        let opaque = self.hidden.union(&self.emptied).filter(is_directory).cloned().collect();
        Changed {
            opaque,
            whiteouts,
            upper: self.upper,
            hidden: self.hidden,
            emptied: self.emptied,
            depends: self.depends,
        }
    }

    /// Whether lower layers are seen in the directory `dir`.
    fn shows_below(&self, dir: &Path) -> bool {
        !dir.ancestors().any(|dir| self.hidden.contains(dir) || self.emptied.contains(dir))
    }
}

impl Changed {
    /// Puts the layer on top of `tree`.
    pub(super) fn apply(&self, tree: &mut Nodes) {
        for path in &self.hidden {
            tree.remove(path);
            remove_below(tree, path);
        }
        for dir in &self.emptied {
            remove_below(tree, dir);
        }
        tree.extend(self.upper.iter().map(|(path, node)| (path.clone(), node.clone())));
    }

    /// Whether nothing of the lower layers is left.
    pub(super) fn replaces_all(&self) -> bool {
        self.emptied.contains(Path::new(""))
    }
}

/// A directory that no layer describes.
fn implied() -> Meta {
    Meta { mode: 0o755, uid: 0, gid: 0, mtime: "0".to_owned(), xattrs: BTreeMap::new() }
}

/// Takes a path that cannot exist in the lower layers for nothing to hide.
fn present(path: Result<PathBuf, Fault>) -> Result<Option<PathBuf>, Fault> {
    match path {
        Err(Fault::NotDirectory { .. }) => Ok(None),
        path => path.map(Some),
    }
}
