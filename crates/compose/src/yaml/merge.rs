//! Merge keys: `<<` takes the keys of a map, or of several, that the map around it does not have itself.

use std::collections::HashSet;

use super::{Entry, Node, Scalar, Value};

/// The key that merges.
pub(super) const KEY: &str = "<<";

/// Adds what the values of `<<` have to the entries of a map, whose keys are `names`; of two, the first wins.
///
/// # Errors
/// With the value that cannot be merged.
pub(super) fn apply(
    mut own: Vec<Entry>,
    mut names: HashSet<String>,
    merged: Vec<Node>,
) -> Result<Vec<Entry>, Box<Node>> {
    let mut add = |entries: Vec<Entry>| {
        own.extend(entries.into_iter().filter(|entry| names.insert(entry.key.clone())));
    };
    for node in merged {
        match node.value {
            Value::Map(entries) => add(entries),
            Value::List(nodes) => {
                for node in nodes {
                    let Value::Map(entries) = node.value else { return Err(Box::new(node)) };
                    add(entries);
                }
            }
            // What compose takes for an anchor without content.
            Value::Scalar(Scalar::Null) => {}
            Value::Scalar(_) => return Err(Box::new(node)),
        }
    }
    Ok(own)
}
