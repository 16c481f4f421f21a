//! YAML documents as trees that know their lines: anchors, aliases and merge keys are applied, scalars have the types of YAML 1.2.

mod build;
mod merge;
mod scalar;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::error::{Place, Result};

pub(crate) use scalar::{Scalar, Typed};

/// A value and where it is written. What an alias stands for is where its anchor is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) value: Value,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// A key of a map, where it is written, and its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) place: Place,
    pub(crate) value: Node,
}

/// Reads the only document in `text`, which is the content of `file`.
pub(crate) fn parse(file: &Path, text: &str) -> Result<Node> {
    build::Builder::new(file).document(text)
}

impl Value {
    /// What it is, for a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Scalar(scalar) => scalar.kind(),
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
        }
    }
}
