//! Validation by a JSON schema: as much of the draft 2020-12 as the schemas of this repository use, and stricter in one thing. A key that
//! the schema does not describe is an error, so that no key is forgotten.
//!
//! Maintained crates for this were considered: each changes features of `serde` or `serde_json` for the whole workspace.

use regex_lite::Regex;
use serde_json::Value;

/// RFC 3339, as the program writes it.
const DATE_TIME: &str = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$";

/// The keywords that say something about a schema, and nothing about a document.
const ANNOTATIONS: [&str; 5] = ["$schema", "$defs", "title", "description", "examples"];

/// What is wrong with `document`: a line for each fault.
pub fn validate(schema: &Value, document: &Value) -> Vec<String> {
    let mut validation = Validation { root: schema, wrong: Vec::new() };
    validation.value(schema, document, "");
    validation.wrong
}

struct Validation<'a> {
    root: &'a Value,
    wrong: Vec<String>,
}

impl Validation<'_> {
    fn expect(&mut self, holds: bool, at: &str, what: &str) {
        if !holds {
            let at = if at.is_empty() { "the document" } else { at };
            self.wrong.push(format!("{at}: {what}"));
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, at: &str) {
        let keywords = schema.as_object().expect("a schema is an object");
        for (keyword, expected) in keywords {
            match keyword.as_str() {
                "type" => {
                    self.expect(has_type(expected, value), at, &format!("it is not of type {expected}"))
                }
                "const" => self.expect(expected == value, at, &format!("it is not {expected}")),
                "enum" => {
                    let known = expected.as_array().expect("an enum is an array").contains(value);
                    self.expect(known, at, &format!("it is none of {expected}"));
                }
                "pattern" => self.pattern(expected.as_str().expect("a pattern is a text"), value, at),
                "format" if expected == "date-time" => self.pattern(DATE_TIME, value, at),
                "minimum" => {
                    let enough = value.as_f64().is_none_or(|number| Some(number) >= expected.as_f64());
                    self.expect(enough, at, &format!("it is less than {expected}"));
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.value(expected, item, &format!("{at}/{index}"));
                    }
                }
                "properties" => self.properties(schema, value, at),
                "additionalProperties" => {
                    for (key, value) in value.as_object().into_iter().flatten() {
                        self.value(expected, value, &format!("{at}/{key}"));
                    }
                }
                "required" => {
                    let Some(object) = value.as_object() else { continue };
                    for key in expected.as_array().into_iter().flatten().filter_map(Value::as_str) {
                        self.expect(object.contains_key(key), at, &format!("`{key}` is missing"));
                    }
                }
                "$ref" => {
                    let pointer = expected.as_str().and_then(|text| text.strip_prefix('#'));
                    let target = pointer.and_then(|pointer| self.root.pointer(pointer));
                    let target = target.unwrap_or_else(|| panic!("there is no {expected}"));
                    self.value(target, value, at);
                }
                "anyOf" => {
                    let any = expected.as_array().expect("an array of schemas").iter();
                    let fits = |schema| {
                        let mut inner = Validation { root: self.root, wrong: Vec::new() };
                        inner.value(schema, value, at);
                        inner.wrong.is_empty()
                    };
                    let fits = any.into_iter().any(fits);
                    self.expect(fits, at, "none of the alternatives fits");
                }
                known if ANNOTATIONS.contains(&known) => {}
                other => panic!("the keyword `{other}` is not known here"),
            }
        }
    }

    fn properties(&mut self, schema: &Value, value: &Value, at: &str) {
        for (key, value) in value.as_object().into_iter().flatten() {
            match schema["properties"].get(key) {
                Some(schema) => self.value(schema, value, &format!("{at}/{key}")),
                None => self.expect(false, at, &format!("`{key}` is not described")),
            }
        }
    }

    fn pattern(&mut self, pattern: &str, value: &Value, at: &str) {
        let matches = |text| Regex::new(pattern).expect("the pattern is valid").is_match(text);
        self.expect(value.as_str().is_none_or(matches), at, &format!("it does not match `{pattern}`"));
    }
}

/// Whether `value` has the type, or one of the types, called so.
fn has_type(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_u64() || value.is_i64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        _ => panic!("{name} is not a type"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

/// Verifies that every object of a schema requires all of its keys, since keys never disappear, and describes each of them.
///
/// # Panics
/// When one does not.
#[cfg(test)]
pub(crate) fn check_complete(schema: &Value, at: &str) {
    if let Some(properties) = schema["properties"].as_object() {
        let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
        for (key, property) in properties {
            assert!(required.iter().any(|required| *required == key), "{at}: `{key}` is not required");
            let described = property["description"].is_string() || property.get("$ref").is_some();
            assert!(described, "{at}: `{key}` has no description");
        }
        assert_eq!(required.len(), properties.len(), "{at}: what is required does not exist");
    }
    for (key, below) in schema.as_object().into_iter().flatten() {
        match key.as_str() {
            "properties" | "$defs" => below
                .as_object()
                .into_iter()
                .flatten()
                .for_each(|(key, below)| check_complete(below, &format!("{at}/{key}"))),
            "items" => check_complete(below, &format!("{at}/items")),
            "anyOf" => below.as_array().into_iter().flatten().for_each(|below| check_complete(below, at)),
            _ => {}
        }
    }
}
