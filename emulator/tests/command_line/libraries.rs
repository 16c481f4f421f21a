//! What libraries leave to the programs: which command helps.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::path::Path;

use crate::documented::sources;

/// The lines of the sources in `dir` that are neither comments nor tests, with the names of their files.
fn code(dir: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(dir), &mut files);
    let lines = |(name, text): (String, String)| {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        lines.map(|line| (name.clone(), line.to_owned())).collect::<Vec<_>>()
    };
    files.into_iter().flat_map(lines).collect()
}

#[test]
fn libraries_name_no_command_of_a_program() {
    for room in ["crates", "release/src"] {
        for (file, line) in code(room) {
            let named = ["`emulator ", "`cargo xtask "].iter().any(|program| line.contains(program));
            assert!(!named, "{file}: {line}");
        }
    }
}
