//! The rooms: the members of the workspace, as their manifests describe them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use toml::Table;

use crate::sources;

/// The members of the workspace, by the names of their packages.
pub(crate) struct Rooms(BTreeMap<String, Room>);

struct Room {
    dir: PathBuf,
    uses: BTreeSet<String>,
}

impl Rooms {
    /// Reads all manifests. Dependencies of tests alone do not count.
    pub(crate) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let workspace = manifest(root);
        let members = workspace["workspace"]["members"].as_array().unwrap();
        let rooms = members.iter().map(|member| {
            let dir = root.join(member.as_str().unwrap());
            let manifest = manifest(&dir);
            let name = manifest["package"]["name"].as_str().unwrap().to_owned();
            (name, Room { uses: dependencies(&manifest), dir })
        });
        let mut rooms: BTreeMap<_, _> = rooms.collect();
        let names: BTreeSet<_> = rooms.keys().cloned().collect();
        for room in rooms.values_mut() {
            room.uses.retain(|used| names.contains(used));
        }
        Self(rooms)
    }

    /// The names of all.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The rooms that `room` uses.
    pub(crate) fn uses(&self, room: &str) -> impl Iterator<Item = &str> {
        self.0[room].uses.iter().map(String::as_str)
    }

    /// Where it is.
    pub(crate) fn dir(&self, room: &str) -> &Path {
        &self.0[room].dir
    }

    /// Lines of Rust in it, without those of the rooms inside it.
    pub(crate) fn lines(&self, room: &str) -> usize {
        let dir = self.dir(room);
        let inside = |other: &&Path| *other != dir && other.starts_with(dir);
        let inner: Vec<_> = self.0.values().map(|room| room.dir.as_path()).filter(inside).collect();
        let files = sources::rust_files(dir).into_iter();
        let own = files.filter(|file| !inner.iter().any(|inner| file.starts_with(inner)));
        own.map(|file| fs::read_to_string(file).unwrap().lines().count()).sum()
    }
}

fn manifest(dir: &Path) -> Table {
    fs::read_to_string(dir.join("Cargo.toml")).unwrap().parse().unwrap()
}

/// What the package is built from, on any platform.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let targets = manifest.get("target").and_then(|targets| targets.as_table());
    let platforms = targets.into_iter().flat_map(Table::values).filter_map(|target| target.as_table());
    let tables = platforms.chain([manifest]);
    let kinds = tables.flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)));
    let names = kinds.flatten().filter_map(|kind| kind.as_table()).flat_map(Table::keys);
    names.cloned().collect()
}
