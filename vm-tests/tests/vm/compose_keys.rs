//! The public schema of compose files, which a pinned package carries: every key of it has its place in the list of what happens to
//! keys, and the list has no others. No machine is started.

use std::collections::BTreeSet;
use std::fs;

use compose::keys::{SCOPES, Scope};
use serde_json::Value;
use vm_tests::clients::CLIENTS_VARIABLE;
use vm_tests::path_from_env;

/// The schema in the package `check-jsonschema`.
const SCHEMA: &str = "site-packages/check_jsonschema/builtin_schemas/vendor/compose-spec.json";

fn schema() -> Value {
    let lib = path_from_env(CLIENTS_VARIABLE).join("python/lib");
    let versions = fs::read_dir(&lib).unwrap().map(|entry| entry.unwrap().path().join(SCHEMA));
    let file = versions.into_iter().find(|path| path.exists()).unwrap();
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// What `part` stands for: itself, what it refers to, and its alternatives.
fn meanings<'a>(schema: &'a Value, part: &'a Value) -> Vec<&'a Value> {
    let referred = part["$ref"].as_str().map(|reference| schema.pointer(&reference[1..]).unwrap());
    let alternatives =
        ["oneOf", "anyOf", "allOf"].into_iter().filter_map(|kind| part[kind].as_array()).flatten();
    let inner = referred.into_iter().chain(alternatives).flat_map(|inner| meanings(schema, inner));
    std::iter::once(part).chain(inner).collect()
}

/// The parts of the schema that a step of a path leads to: a name, `*` for any name, or `[]` for an item.
fn step<'a>(schema: &'a Value, part: &'a Value, step: &str) -> Vec<&'a Value> {
    let inner: Vec<&Value> = match step {
        "[]" => part.get("items").into_iter().collect(),
        "*" => {
            let patterns = part["patternProperties"].as_object();
            let named = patterns.into_iter().flatten().filter(|(pattern, _)| *pattern != "^x-");
            named.map(|(_, value)| value).collect()
        }
        name => part["properties"].get(name).into_iter().collect(),
    };
    inner.into_iter().flat_map(|inner| meanings(schema, inner)).collect()
}

/// The keys that the schema has where a scope is.
fn keys<'a>(schema: &'a Value, scope: &Scope) -> BTreeSet<&'a str> {
    let path = scope.path.replace("[]", ".[]");
    let mut parts = meanings(schema, schema);
    for name in path.split('.').filter(|name| !name.is_empty()) {
        parts = parts.into_iter().flat_map(|part| step(schema, part, name)).collect();
    }
    parts
        .into_iter()
        .filter_map(|part| part["properties"].as_object())
        .flatten()
        .map(|(key, _)| key.as_str())
        .collect()
}

#[test]
fn the_list_of_keys_is_that_of_the_public_schema() {
    let schema = schema();
    for scope in SCOPES {
        let listed: BTreeSet<_> = scope.keys.iter().map(|key| key.name).collect();
        assert_eq!(listed.len(), scope.keys.len(), "a key of `{}` is there twice", scope.path);
        assert_eq!(keys(&schema, scope), listed, "`{}`", scope.path);
    }
}
