//! What the documentation says of the tests.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::path::Path;

/// All sources of the workspace, with their file names.
pub(crate) fn sources(dir: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                sources(&path, found);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_surrounding_that_is_documented_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut found = Vec::new();
    sources(root, &mut found);
    let exists = |test: &str| {
        let function = format!("fn {test}(");
        found.iter().any(|(name, text)| name == test || text.contains(&function))
    };
    let home = fs::read_to_string(root.join("docs/home.md")).unwrap();
    let (_, section) = home.split_once("\n## What works where\n").unwrap();
    let list = section.split("\n## ").next().unwrap();
    let entries: Vec<_> = list.split("\n- ").skip(1).collect();
    assert!(!entries.is_empty());
    for entry in entries {
        let (_, names) = entry.rsplit_once("Test").unwrap_or_else(|| panic!("no test: {entry}"));
        let tests: Vec<_> = names.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "no test: {entry}");
        for test in tests {
            assert!(exists(test), "there is no test `{test}`: {entry}");
        }
    }
}
