//! Builds the tree from the parser's events, within limits: short files can stand for long ones.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Tag, options};

use super::{Entry, Node, Scalar, Value, merge};
use crate::error::{ComposeError, Place, Result};

/// Most lists and maps inside each other.
const DEPTH_LIMIT: usize = 64;

/// Most memory that copies of nodes may take, in bytes: "billion laughs" ends here.
const COPIES_LIMIT: usize = 8 << 20;

/// What a node takes beside its text, roughly.
const NODE_BYTES: usize = 96;

/// A tree under construction.
pub(super) struct Builder<'a> {
    file: &'a Path,
    open: Vec<Open>,
    anchors: HashMap<usize, Built>,
    copied: usize,
    document: Option<Node>,
}

/// A node with its cost in bytes and the number of levels below it.
#[derive(Clone)]
struct Built {
    node: Node,
    bytes: usize,
    levels: usize,
}

/// A list or a map whose end has not come yet.
struct Open {
    place: Place,
    anchor: usize,
    bytes: usize,
    levels: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, merged: Vec<Node>, names: HashSet<String>, key: Option<Key> },
}

struct Key {
    text: String,
    place: Place,
    merges: bool,
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: &'a Path) -> Self {
        Self { file, open: Vec::new(), anchors: HashMap::new(), copied: 0, document: None }
    }

    pub(super) fn document(mut self, text: &str) -> Result<Node> {
        let options = options! {
            emit_comments: false,
            flow_nesting_limit: DEPTH_LIMIT,
            block_nesting_limit: DEPTH_LIMIT,
        };
        for next in Parser::new_from_str_with_options(text, options) {
            let (event, span) =
                next.map_err(|error| self.error(place(error.marker()), error.info().clone()))?;
            self.event(event, place(&span.start))?;
        }
        let empty = || ComposeError::new(self.file, None, "", "it is empty");
        self.document.ok_or_else(|| empty().instead("describe at least one service under `services`"))
    }

    fn event(&mut self, event: Event<'_>, place: Place) -> Result<()> {
        match event {
            Event::DocumentStart(..) if self.document.is_some() => {
                Err(self.error(place, "a second document begins here").instead("keep one document per file"))
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.scalar(&text, style, anchor, tag.as_deref(), place)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection(tag.as_deref(), "seq", anchor, place, Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let map = Content::Map {
                    entries: Vec::new(),
                    merged: Vec::new(),
                    names: HashSet::new(),
                    key: None,
                };
                self.collection(tag.as_deref(), "map", anchor, place, map)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, place),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
        place: Place,
    ) -> Result<()> {
        let plain = style == ScalarStyle::Plain;
        if let Some(Content::Map { key: key @ None, names, .. }) =
            self.open.last_mut().map(|open| &mut open.content)
        {
            let merges = plain && tag.is_none() && text == merge::KEY;
            *key = Some(Key { text: text.to_owned(), place, merges });
            if !names.insert(text.to_owned()) {
                let reason = format!("the key {text:?} is there twice in this map");
                return Err(self.error(place, reason).instead("remove one of the two"));
            }
            return Ok(());
        }
        let scalar = match tag {
            None if plain => Scalar::plain(text),
            None => Scalar::Text(text.to_owned()),
            Some(tag) if tag.is_yaml_core_schema_tag("str") => Scalar::Text(text.to_owned()),
            Some(tag)
                if ["int", "float", "bool", "null"].iter().any(|core| tag.is_yaml_core_schema_tag(core)) =>
            {
                Scalar::plain(text)
            }
            Some(tag) => return Err(self.tagged(tag, place)),
        };
        let node = Node { place, value: Value::Scalar(scalar) };
        self.finished(Built { node, bytes: NODE_BYTES + text.len(), levels: 0 }, anchor)
    }

    fn collection(
        &mut self,
        tag: Option<&Tag>,
        usual: &str,
        anchor: usize,
        place: Place,
        content: Content,
    ) -> Result<()> {
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema_tag(usual)) {
            return Err(self.tagged(tag, place));
        }
        if let Some(Content::Map { key: None, .. }) = self.open.last().map(|open| &open.content) {
            return Err(self
                .error(place, "a list or a map cannot be a key")
                .instead("write text as the key"));
        }
        self.open.push(Open { place, anchor, bytes: NODE_BYTES, levels: 0, content });
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let value = match open.content {
            Content::List(nodes) => Value::List(nodes),
            Content::Map { entries, merged, names, .. } => {
                Value::Map(merge::apply(entries, names, merged).map_err(|node| self.unmergeable(&node))?)
            }
        };
        let node = Node { place: open.place, value };
        self.finished(Built { node, bytes: open.bytes, levels: open.levels + 1 }, open.anchor)
    }

    fn alias(&mut self, anchor: usize, place: Place) -> Result<()> {
        let Some(built) = self.anchors.get(&anchor) else {
            return Err(self.error(place, "this alias is inside of what it stands for"));
        };
        let built = built.clone();
        if let Some(Content::Map { key: None, .. }) = self.open.last().map(|open| &open.content) {
            return Err(self.error(place, "an alias cannot be a key").instead("write text as the key"));
        }
        self.copied(&built, place)?;
        self.finished(built, 0)
    }

    /// Puts a whole node where it belongs.
    fn finished(&mut self, built: Built, anchor: usize) -> Result<()> {
        if anchor != 0 {
            self.copied(&built, built.node.place)?;
            self.anchors.insert(anchor, built.clone());
        }
        if built.levels + self.open.len() > DEPTH_LIMIT {
            let reason = format!("more than {DEPTH_LIMIT} lists and maps are inside each other");
            return Err(self.error(built.node.place, reason));
        }
        let Some(open) = self.open.last_mut() else {
            self.document = Some(built.node);
            return Ok(());
        };
        open.bytes += built.bytes;
        open.levels = open.levels.max(built.levels);
        match &mut open.content {
            Content::List(nodes) => nodes.push(built.node),
            Content::Map { entries, merged, key, .. } => match key.take() {
                Some(Key { merges: true, .. }) => merged.push(built.node),
                Some(Key { text, place, .. }) => {
                    entries.push(Entry { key: text, place, value: built.node });
                }
                None => {}
            },
        }
        Ok(())
    }

    /// Counts a copy of a node, for an anchor or an alias.
    fn copied(&mut self, built: &Built, place: Place) -> Result<()> {
        self.copied += built.bytes;
        if self.copied > COPIES_LIMIT {
            let reason = format!("anchors and aliases stand for more than {} MiB here", COPIES_LIMIT >> 20);
            return Err(self.error(place, reason).instead("use fewer aliases"));
        }
        Ok(())
    }

    fn tagged(&self, tag: &Tag, place: Place) -> ComposeError {
        let reason = format!("the tag `{}` is not supported", tag.original());
        self.error(place, reason).instead("write the value without a tag")
    }

    fn unmergeable(&self, node: &Node) -> ComposeError {
        let reason = format!("`<<` merges a map or a list of maps, and this is {}", node.value.kind());
        self.error(node.place, reason).instead("name the anchor of a map: `<<: *name`")
    }

    fn error(&self, place: Place, reason: impl Into<String>) -> ComposeError {
        ComposeError::new(self.file, Some(place), "", reason)
    }
}

fn place(marker: &Marker) -> Place {
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Place { line: number(marker.line()), column: number(marker.col()).saturating_add(1) }
}
