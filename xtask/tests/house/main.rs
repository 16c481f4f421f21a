//! The shape of the house: which room may stand on which, no circle inside a room, and no room that is most of the house.
//!
//! Maintained tools were considered. `cargo deny` and `cargo depgraph` see packages only. `cargo modules dependencies --acyclic` loads a
//! crate into rust-analyzer, which takes minutes, and compares single modules: parent and child are a circle to it. `cargo cycles` is
//! younger than this project. None of them knows an order of rooms or a document, so that the test reads the few lines that count by
//! itself: the dependencies in the manifests, and the paths in the sources.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

mod graph;
mod one_build;
mod picture;
mod rooms;
mod sources;

use std::collections::BTreeMap;

use graph::Graph;
use rooms::Rooms;

/// The floors of the house, from the ground up. A room uses rooms of lower floors only.
const FLOORS: [&[&str]; 7] = [
    &["base", "protocol", "fake-monitor", "output-schemas", "features"],
    &["image", "compose", "fetch", "guest", "fake-github", "oci", "test-images", "test-postgres"],
    &["vm", "qemu-build", "release", "service-kit"],
    &["instances", "image-build", "fake-image", "mail", "s3"],
    &["emulator", "services"],
    &["product"],
    &["vm-tests", "xtask"],
];

/// Rooms without a circle between their folders.
const UNTIED: [&str; 9] =
    ["protocol", "image", "compose", "fetch", "guest", "product", "vm", "instances", "service-kit"];

/// Most of all lines of Rust that one room may have, in percent.
const LARGEST_SHARE: usize = 16;

#[test]
fn every_room_uses_rooms_of_lower_floors_only() {
    let floor = |room: &str| FLOORS.iter().position(|floor| floor.contains(&room));
    let rooms = Rooms::read();
    let mut wrong = Vec::new();
    for room in rooms.names() {
        if floor(room).is_none() {
            wrong.push(format!("`{room}` has no floor: add it to `FLOORS`"));
        }
        for used in rooms.uses(room) {
            if floor(used) >= floor(room) {
                wrong.push(format!("`{room}` uses `{used}`, which is not on a lower floor"));
            }
        }
    }
    let stale = FLOORS.concat().into_iter().filter(|room| !rooms.names().any(|name| name == *room));
    wrong.extend(stale.map(|room| format!("there is no room `{room}`: remove it from `FLOORS`")));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_circle_leads_through_the_folders_of_a_room() {
    let rooms = Rooms::read();
    let mut wrong = Vec::new();
    for room in UNTIED {
        let arrows = sources::arrows(&rooms.dir(room).join("src"));
        let graph: Graph = arrows.keys().cloned().collect();
        for circle in graph.circles() {
            wrong.push(format!("a circle in `{room}`: {}", circle.join(", ")));
            let inside = |(from, to): &(&String, &String)| circle.contains(from) && circle.contains(to);
            for ((from, to), files) in &arrows {
                if inside(&(from, to)) {
                    wrong.push(format!("  {from} uses {to} in {}", files.join(", ")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_room_is_most_of_the_house() {
    let rooms = Rooms::read();
    let lines: BTreeMap<&str, usize> = rooms.names().map(|room| (room, rooms.lines(room))).collect();
    let total: usize = lines.values().sum();
    let (room, most) = lines.iter().max_by_key(|(_, lines)| **lines).unwrap();
    assert!(
        most * 100 <= total * LARGEST_SHARE,
        "`{room}` has {most} of {total} lines, more than {LARGEST_SHARE} %"
    );
}
