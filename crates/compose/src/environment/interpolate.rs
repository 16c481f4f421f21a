//! Variables in the values of a tree; its keys stay as they are.

use std::path::Path;

use super::Environment;
use super::template::Expander;
use crate::error::{ComposeError, Place, Result};
use crate::yaml::{Node, Scalar, Value};

/// Most bytes that all values of variables together may have.
const ROOM: usize = 16 << 20;

/// Key of the project's name.
const NAME: &str = "name";

/// A variable that a value names, and that has neither value nor default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unset {
    pub(crate) place: Place,
    pub(crate) key: String,
    pub(crate) name: String,
}

/// Expands the tree of `file`, and returns what became nothing.
pub(crate) fn tree(node: &mut Node, file: &Path, environment: &Environment<'_>) -> Result<Vec<Unset>> {
    below(node, "", file, environment)
}

/// Expands the name of the project only, which is a variable of the rest.
pub(crate) fn name(tree: &mut Node, file: &Path, environment: &Environment<'_>) -> Result<Vec<Unset>> {
    let Value::Map(entries) = &mut tree.value else { return Ok(Vec::new()) };
    let mut unset = Vec::new();
    for entry in entries.iter_mut().filter(|entry| entry.key == NAME) {
        unset.extend(below(&mut entry.value, NAME, file, environment)?);
    }
    Ok(unset)
}

fn below(node: &mut Node, key: &str, file: &Path, environment: &Environment<'_>) -> Result<Vec<Unset>> {
    let lookup = |name: &str| environment.get(name);
    let mut walk = Walk { file, expander: Expander::new(&lookup, ROOM), unset: Vec::new() };
    walk.node(node, key)?;
    Ok(walk.unset)
}

struct Walk<'a> {
    file: &'a Path,
    expander: Expander<'a>,
    unset: Vec<Unset>,
}

impl Walk<'_> {
    fn node(&mut self, node: &mut Node, key: &str) -> Result<()> {
        match &mut node.value {
            Value::Scalar(Scalar::Text(text)) if text.contains('$') => {
                *text = self.expander.expand(text).map_err(|problem| {
                    let (reason, instead) = problem.words();
                    ComposeError::new(self.file, Some(node.place), key, reason).instead(instead)
                })?;
                let unset = |name| Unset { place: node.place, key: key.to_owned(), name };
                self.unset.extend(self.expander.take_unset().into_iter().map(unset));
                Ok(())
            }
            Value::Scalar(_) => Ok(()),
            Value::List(nodes) => {
                let mut indexed = nodes.iter_mut().enumerate();
                indexed.try_for_each(|(index, node)| self.node(node, &format!("{key}[{index}]")))
            }
            Value::Map(entries) => entries.iter_mut().try_for_each(|entry| {
                let inner = if key.is_empty() { entry.key.clone() } else { format!("{key}.{}", entry.key) };
                self.node(&mut entry.value, &inner)
            }),
        }
    }
}
