//! The picture of the rooms in the documentation is the one that the manifests give.

use std::fs;
use std::path::Path;

use base::variables;

use crate::graph::Graph;
use crate::rooms::Rooms;

/// The document.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/architecture.md");

/// What is before the picture.
const START: &str =
    "<!-- The picture of the rooms: `UPDATE_ROOMS=1 cargo test -p xtask --test house` writes it. -->\n";

/// What is after it.
const END: &str = "<!-- The end of the picture. -->\n";

/// Variable that has the picture written.
const UPDATE: &str = "UPDATE_ROOMS";

fn picture(rooms: &Rooms) -> String {
    let arrows =
        rooms.names().flat_map(|room| rooms.uses(room).map(|used| (room.to_owned(), used.to_owned())));
    let graph: Graph = arrows.collect();
    let arrows = graph.reduced();
    let alone = rooms.names().filter(|room| !arrows.iter().any(|(from, to)| from == room || to == room));
    let lines = alone.map(|room| format!("    {room}\n"));
    let lines = lines.chain(arrows.iter().map(|(from, to)| format!("    {from} --> {to}\n")));
    format!("\n```mermaid\nflowchart TD\n{}```\n\n", lines.collect::<String>())
}

#[test]
fn the_documented_picture_of_the_rooms_is_that_of_the_manifests() {
    let text = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = text.split_once(START).expect("the page has a place for the picture");
    let (found, after) = rest.split_once(END).expect("the picture has an end");
    let expected = picture(&Rooms::read());
    if variables::raw(UPDATE).is_some() {
        fs::write(PAGE, [before, START, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(found, expected, "set {UPDATE} to write it");
    }
}

#[test]
fn every_room_is_described_by_its_directory() {
    let (rooms, text) = (Rooms::read(), fs::read_to_string(PAGE).unwrap());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let dir = |room| rooms.dir(room).strip_prefix(root).unwrap().display().to_string();
    let missing: Vec<_> =
        rooms.names().map(dir).filter(|dir| !text.contains(&format!("- `{dir}/`: "))).collect();
    assert!(missing.is_empty(), "not described: {}", missing.join(", "));
}
