//! The tables of `docs/compose.md` are the lists that decoding reads.

use std::fmt::Write as _;
use std::fs;

use base::variables;
use compose::keys::{EMULATOR_SCOPES, Key, SCOPES, Scope, Support};

/// The document.
const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/compose.md");

/// What is before the tables.
const START: &str =
    "<!-- The tables: `UPDATE_KEYS=1 cargo test -p compose --test documentation` writes them. -->\n";

/// What is after them.
const END: &str = "<!-- The end of the tables. -->\n";

/// Variable that has the tables written.
const UPDATE: &str = "UPDATE_KEYS";

/// A table with the keys of one kind of map.
fn table(scope: &Scope) -> String {
    let title = if scope.path.is_empty() { "The file".to_owned() } else { format!("`{}`", scope.path) };
    let mut text = format!("\n### {title}\n\n| Key | What happens |\n| --- | --- |\n");
    for Key { name, support } in scope.keys {
        let _ = match support {
            Support::Applied(effect) => writeln!(text, "| `{name}` | {effect} |"),
            Support::Ignored(reason) => writeln!(text, "| `{name}` | no effect: {reason} |"),
            Support::Refused { reason, instead } => {
                writeln!(text, "| `{name}` | **error**: {reason}; {instead} |")
            }
        };
    }
    text
}

#[test]
fn the_documented_keys_are_those_that_decoding_reads() {
    let tables = |scopes: &[&Scope]| scopes.iter().map(|scope| table(scope)).collect::<String>();
    let expected = format!(
        "\n## Keys of compose\n{}\n## Keys of `x-emulator`\n{}\n",
        tables(&SCOPES),
        tables(&EMULATOR_SCOPES)
    );
    let text = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = text.split_once(START).expect("the page has a place for the tables");
    let (found, after) = rest.split_once(END).expect("the tables have an end");
    if variables::raw(UPDATE).is_some() {
        fs::write(PAGE, [before, START, &expected, END, after].concat()).unwrap();
    } else {
        assert_eq!(found, expected, "set {UPDATE} to write it");
    }
}
