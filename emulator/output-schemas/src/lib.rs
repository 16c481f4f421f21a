//! For tests: what `emulator` prints with `-o json`, by the schemas in `docs/schemas/`.

mod validation;

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

pub use validation::validate;

/// The schema of errors.
pub const ERROR: &str = "error";

/// Verifies that the stdout of `emulator` with these arguments consists of documents of its command, with an error at most at the end,
/// if the arguments ask for JSON. Nothing at all is right too: a command that was interrupted, say, or has nothing to report.
///
/// # Panics
/// When it does not.
pub fn check(args: &[&str], stdout: &str) {
    let own = || args.iter().take_while(|arg| **arg != "--");
    let pairs = own().zip(own().skip(1));
    let mut asked = pairs.filter(|(flag, value)| matches!(**flag, "-o" | "--output") && **value == "json");
    let for_people = own().any(|arg| matches!(*arg, "-h" | "--help" | "-V" | "--version"));
    if for_people || (asked.next().is_none() && !own().any(|arg| *arg == "--json")) {
        return;
    }
    for document in serde_json::Deserializer::from_str(stdout).into_iter::<Value>() {
        let document = document.unwrap_or_else(|error| panic!("{args:?}: {error}:\n{stdout}"));
        let name = if document.get(ERROR).is_some() { ERROR } else { command(args) };
        let wrong = validate(&schema(name), &document);
        assert!(wrong.is_empty(), "not valid by `{name}`:\n{}\n{document:#}", wrong.join("\n"));
    }
}

/// The command among the arguments: the first for which there is a schema.
fn command<'a>(args: &[&'a str]) -> &'a str {
    let known = args.iter().find(|arg| file(arg).exists());
    known.unwrap_or_else(|| panic!("no schema for {args:?}"))
}

/// The schema of a command's documents.
///
/// # Panics
/// When there is none.
pub fn schema(name: &str) -> Value {
    let path = file(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("`{}`: {error}", path.display()))
}

fn file(name: &str) -> PathBuf {
    dir().join(format!("{name}.schema.json"))
}

/// Where the schemas are.
pub fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/schemas")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_from_the_schema_is_found() {
        let version = r#"{"schemaVersion":1,"version":"0.1.0","operatingSystem":"linux","architecture":"x86_64","imageFormat":1,"recordSchema":1}"#;
        check(&["version", "-o", "json"], version);
        let failure =
            r#"{"schemaVersion":1,"error":{"code":"failed","message":"no","causes":[],"hint":null}}"#;
        check(&["--json", "version"], failure);
        for wrong in [
            version.replace("\"imageFormat\":1,", ""),
            version.replace("\"imageFormat\":1,", "\"imageFormat\":1,\"other\":1,"),
            version.replace("\"schemaVersion\":1", "\"schemaVersion\":2"),
            version.replace("\"recordSchema\":1", "\"recordSchema\":\"1\""),
            failure.replace("\"hint\":null", "\"hint\":7"),
            failure.replace("\"failed\"", "\"unknown\""),
            format!("{version} text"),
        ] {
            let found = std::panic::catch_unwind(|| check(&["version", "-o", "json"], &wrong));
            assert!(found.is_err(), "{wrong}");
        }
        check(&["version"], "emulator 0.1.0");
        check(&["run", "--", "echo", "--json"], "text");
    }

    #[test]
    fn every_schema_is_complete() {
        for entry in fs::read_dir(dir()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let schema = schema(name.strip_suffix(".schema.json").unwrap());
            assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{name}");
            validation::check_complete(&schema, &name);
        }
    }
}
