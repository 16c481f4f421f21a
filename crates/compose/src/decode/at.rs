//! A value with the path that leads to it: reads one type, or says what is wrong and where.

use std::path::Path;

use crate::environment::Environment;
use crate::error::{ComposeError, Result};
use crate::keys::{Scope, Support};
use crate::model::Spanned;
use crate::yaml::{Entry, Node, Scalar, Typed, Value};

/// Key of what compose has no word for.
pub(super) const EMULATOR: &str = "x-emulator";

/// Characters of a value that a message shows.
const SHOWN: usize = 60;

/// How alike two names are that one is suggested for the other, from 0 to 1.
const ALIKE: f64 = 0.84;

/// What decoding needs beside the tree.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) file: &'a Path,
    pub(crate) dir: &'a Path,
    pub(crate) environment: &'a Environment<'a>,
    /// What the file defines at its top.
    pub(crate) defined: Defined<'a>,
}

/// The parts of a file that define what services name.
#[derive(Clone, Copy, Default)]
pub(crate) struct Defined<'a> {
    pub(super) volumes: Option<&'a Node>,
    pub(super) networks: Option<&'a Node>,
    pub(super) configs: Option<&'a Node>,
    pub(super) secrets: Option<&'a Node>,
}

/// A value in a compose file.
#[derive(Clone)]
pub(crate) struct At<'a> {
    pub(super) context: Context<'a>,
    node: &'a Node,
    key: String,
}

/// The values of a map that are applied, by their keys.
pub(super) struct Fields<'a> {
    map: At<'a>,
    values: Vec<(&'a str, At<'a>)>,
}

impl<'a> Fields<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&At<'a>> {
        self.values.iter().find(|(key, _)| *key == name).map(|(_, at)| at)
    }

    /// The value of a key that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&At<'a>> {
        let missing = || self.map.error(format!("has no `{name}`")).instead(format!("add the key `{name}`"));
        self.get(name).ok_or_else(missing)
    }

    /// Reads the value of a key that may be absent.
    pub(super) fn read<T>(&self, name: &str, read: impl FnOnce(&At<'a>) -> Result<T>) -> Result<Option<T>> {
        self.get(name).map(read).transpose()
    }

    /// Reads the value of a key that may be absent, and is then the default.
    pub(super) fn or_default<T: Default>(
        &self,
        name: &str,
        read: impl FnOnce(&At<'a>) -> Result<T>,
    ) -> Result<T> {
        Ok(self.read(name, read)?.unwrap_or_default())
    }
}

impl<'a> At<'a> {
    pub(crate) fn root(context: Context<'a>, node: &'a Node) -> Self {
        Self { context, node, key: String::new() }
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> ComposeError {
        ComposeError::new(self.context.file, Some(self.node.place), &self.key, reason)
    }

    /// An error that shows the value.
    pub(super) fn invalid(&self, value: &str, what: &str) -> ComposeError {
        let shown: String = value.chars().take(SHOWN).collect();
        self.error(format!("{shown:?} is not {what}"))
    }

    fn mistaken(&self, wanted: &str) -> ComposeError {
        let found = self.node.value.kind();
        let error = self.error(format!("must be {wanted}, and is {found}"));
        if self.is_null() { error.instead("remove the key, or write a value") } else { error }
    }

    fn at_key(&self, entry: &Entry, reason: impl Into<String>) -> ComposeError {
        ComposeError::new(self.context.file, Some(entry.place), &self.inner(&entry.key), reason)
    }

    fn inner(&self, key: &str) -> String {
        if self.key.is_empty() { key.to_owned() } else { format!("{}.{key}", self.key) }
    }

    pub(super) fn node(&self) -> &'a Node {
        self.node
    }

    pub(super) fn key(&self) -> &str {
        &self.key
    }

    pub(super) fn spanned<T>(&self, value: T) -> Spanned<T> {
        Spanned { value, place: self.node.place, key: self.key.clone() }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.node.value, Value::Scalar(Scalar::Null))
    }

    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.node.value, Value::List(_))
    }

    /// The text, without what compose takes for a number.
    pub(super) fn text(&self) -> Result<&'a str> {
        match &self.node.value {
            Value::Scalar(Scalar::Text(text)) if text.contains('\0') => {
                Err(self.error("has a NUL character").instead("remove it"))
            }
            Value::Scalar(Scalar::Text(text)) => Ok(text),
            Value::Scalar(Scalar::Typed(_, text)) => {
                Err(self.mistaken("text").instead(format!("write it in quotes: `\"{text}\"`")))
            }
            _ => Err(self.mistaken("text")),
        }
    }

    /// The text as it is written, of a number or a truth value too.
    pub(super) fn written(&self) -> Result<&'a str> {
        match &self.node.value {
            Value::Scalar(Scalar::Typed(_, text)) => Ok(text),
            _ => self.text(),
        }
    }

    /// The text that a container gets, of a number or a truth value too. Versions of compose before 3 of its library write numbers in
    /// their own form and later ones keep the text, so that only what is the same for both is unambiguous.
    pub(super) fn value(&self) -> Result<&'a str> {
        match &self.node.value {
            Value::Scalar(Scalar::Typed(typed, text)) if typed.to_string() != *text => {
                let error = self.error(format!("`{text}` becomes `{typed}` in some versions of compose"));
                Err(error.instead(format!("write it in quotes: `\"{text}\"`")))
            }
            _ => self.written(),
        }
    }

    /// Refuses the name of something that the file does not define.
    pub(super) fn defined(&self, name: &str, list: &str, definitions: Option<&Node>) -> Result<()> {
        let is_defined = |node: &Node| match &node.value {
            Value::Map(entries) => entries.iter().any(|entry| entry.key == name),
            Value::Scalar(_) | Value::List(_) => false,
        };
        if definitions.is_some_and(is_defined) {
            return Ok(());
        }
        let error = self.error(format!("`{name}` is not defined"));
        Err(error.instead(format!("define `{name}` under `{list}` at the top")))
    }

    /// The text that is not empty.
    pub(super) fn filled(&self) -> Result<&'a str> {
        match self.text()? {
            "" => Err(self.error("is empty").instead("remove the key, or write a value")),
            text => Ok(text),
        }
    }

    pub(super) fn boolean(&self) -> Result<bool> {
        let Value::Scalar(Scalar::Typed(Typed::Bool(value), _)) = self.node.value else {
            // A variable is text.
            let text = self.text().map_err(|_| self.mistaken("true or false"))?;
            return match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" | "y" | "yes" | "on" => Ok(true),
                "false" | "0" | "f" | "n" | "no" | "off" => Ok(false),
                _ => Err(self.invalid(text, "true or false").instead("write `true` or `false`")),
            };
        };
        Ok(value)
    }

    /// A whole number in the range of `T`.
    pub(super) fn integer<T: TryFrom<i128>>(&self) -> Result<T> {
        let value = match &self.node.value {
            Value::Scalar(Scalar::Typed(Typed::Integer(value), _)) => *value,
            Value::Scalar(Scalar::Text(text)) => {
                text.parse().map_err(|_| self.invalid(text, "a whole number").instead("write digits"))?
            }
            _ => return Err(self.mistaken("a whole number")),
        };
        T::try_from(value).map_err(|_| self.error(format!("the number {value} is out of range")))
    }

    /// A number that is not negative, perhaps with a fraction.
    pub(super) fn decimal(&self) -> Result<f64> {
        let text = self.written().map_err(|_| self.mistaken("a number"))?;
        let value = text.parse::<f64>().ok().filter(|value| value.is_finite() && *value >= 0.0);
        value.ok_or_else(|| self.invalid(text, "a number from 0 on").instead("write a number: `0.5`"))
    }

    /// Permissions: an octal number, which text is too.
    pub(super) fn mode(&self) -> Result<u32> {
        let value = match &self.node.value {
            Value::Scalar(Scalar::Text(text)) => {
                let digits = text.strip_prefix("0o").unwrap_or(text);
                i128::from_str_radix(digits, 8).ok()
            }
            Value::Scalar(Scalar::Typed(Typed::Integer(value), _)) => Some(*value),
            _ => None,
        };
        let value = value.and_then(|value| u32::try_from(value).ok()).filter(|value| *value <= 0o7777);
        value.ok_or_else(|| self.error("must be permissions").instead("write an octal number: `0440`"))
    }

    /// A path in a container.
    pub(super) fn absolute(&self) -> Result<String> {
        let path = self.filled()?;
        match normal(path) {
            Some(normal) => Ok(normal),
            None => Err(self
                .invalid(path, "an absolute path in the container")
                .instead("write the path from `/` on, without `..`")),
        }
    }

    pub(super) fn list(&self) -> Result<Vec<At<'a>>> {
        let Value::List(nodes) = &self.node.value else { return Err(self.mistaken("a list")) };
        let item = |(index, node)| At { context: self.context, node, key: format!("{}[{index}]", self.key) };
        Ok(nodes.iter().enumerate().map(item).collect())
    }

    /// A list, or one value instead of it.
    pub(super) fn list_or_one(&self) -> Result<Vec<At<'a>>> {
        if self.is_list() { self.list() } else { Ok(vec![self.clone()]) }
    }

    /// A list of texts.
    pub(super) fn texts(&self) -> Result<Vec<String>> {
        self.list()?.iter().map(|item| item.text().map(str::to_owned)).collect()
    }

    /// A list of names and other texts, which are not empty.
    pub(super) fn spanned_texts(&self) -> Result<Vec<Spanned<String>>> {
        self.list()?.iter().map(At::spanned_text).collect()
    }

    pub(super) fn spanned_text(&self) -> Result<Spanned<String>> {
        Ok(self.spanned(self.filled()?.to_owned()))
    }

    /// The entries of a map whose keys are names.
    pub(super) fn named(&self) -> Result<Vec<(&'a str, At<'a>)>> {
        let Value::Map(entries) = &self.node.value else { return Err(self.mistaken("a map")) };
        Ok(entries.iter().map(|entry| self.entry(entry)).collect())
    }

    fn entry(&self, entry: &'a Entry) -> (&'a str, At<'a>) {
        let at = At { context: self.context, node: &entry.value, key: self.inner(&entry.key) };
        (&entry.key, at)
    }

    /// The value of a key of a map.
    pub(super) fn get(&self, name: &str) -> Option<At<'a>> {
        let Value::Map(entries) = &self.node.value else { return None };
        entries.iter().find(|entry| entry.key == name).map(|entry| self.entry(entry).1)
    }

    /// The place of the key of each entry, which is where its name is.
    pub(super) fn name_of(&self, name: &str) -> Spanned<String> {
        let entries = if let Value::Map(entries) = &self.node.value { entries.as_slice() } else { &[] };
        let place = entries.iter().find(|entry| entry.key == name).map(|entry| entry.place);
        Spanned { value: name.to_owned(), place: place.unwrap_or(self.node.place), key: self.inner(name) }
    }

    /// The values of a map whose keys are those of `scope`.
    pub(super) fn fields(&self, scope: &Scope) -> Result<Fields<'a>> {
        let Value::Map(entries) = &self.node.value else { return Err(self.mistaken("a map")) };
        let mut fields = Vec::new();
        for entry in entries {
            let own = entry.key == EMULATOR && matches!(scope.path, "" | "services.*");
            match scope.key(&entry.key).map(|key| key.support) {
                _ if own => fields.push(self.entry(entry)),
                Some(Support::Applied(_)) => fields.push(self.entry(entry)),
                Some(Support::Ignored(_)) => {}
                Some(Support::Refused { reason, instead }) => {
                    let reason = format!("is not supported: {reason}");
                    return Err(self.at_key(entry, reason).instead(instead));
                }
                None if entry.key.starts_with("x-") && entry.key != EMULATOR && !scope.is_own() => {}
                None => return Err(self.unknown(entry, scope)),
            }
        }
        Ok(Fields { map: self.clone(), values: fields })
    }

    fn unknown(&self, entry: &Entry, scope: &Scope) -> ComposeError {
        let likeness = |name: &str| strsim::jaro_winkler(name, &entry.key);
        let nearest = scope.applied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
        let instead = match nearest.filter(|name| likeness(name) > ALIKE) {
            Some(name) => format!("did you mean `{name}`?"),
            None if scope.is_own() => {
                let names: Vec<_> = scope.applied().map(|name| format!("`{name}`")).collect();
                format!("the keys are {}", names.join(", "))
            }
            None => "remove it, or begin its name with `x-`".to_owned(),
        };
        self.at_key(entry, "unknown key").instead(instead)
    }
}

/// The path from `/` on, without what has no effect in it. Nothing if it is relative or leads up.
pub(super) fn normal(path: &str) -> Option<String> {
    let inside = path.strip_prefix('/')?;
    let parts: Vec<_> = inside.split('/').filter(|part| !["", "."].contains(part)).collect();
    (!parts.contains(&"..")).then(|| format!("/{}", parts.join("/")))
}
