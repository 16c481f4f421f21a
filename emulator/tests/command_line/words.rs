//! The words of messages and help.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::path::Path;

use crate::documented::sources;
use crate::harness::Emulator;
use crate::help::commands;

/// What plain technical English says otherwise: STYLE.md has the words.
const WORDS: [&str; 9] =
    ["goes on", "going on", "gone on", "is told", "nobody", "whoever", "in place of", "proved", "proves"];

/// What is wrong with the words of `text`.
fn found(text: &str) -> Vec<&'static str> {
    let no = text.replace("there is no ", "").contains(" is no ");
    WORDS.into_iter().filter(|word| text.contains(word)).chain(no.then_some("is no")).collect()
}

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
fn help_is_in_plain_english() {
    let emulator = Emulator::new();
    let help = emulator.run(&["--help"]);
    for command in commands(&help) {
        let shown = emulator.run(&[command, "--help"]);
        assert_eq!(found(&shown), [""; 0], "{shown}");
    }
    assert_eq!(found(&help), [""; 0], "{help}");
}

#[test]
fn errors_are_in_plain_english() {
    for room in ["crates", "emulator/src", "release/src", "image-build/src", "qemu-build/src"] {
        for (file, line) in code(room) {
            if line.starts_with("#[error(") {
                assert_eq!(found(&line), [""; 0], "{file}: {line}");
            }
        }
    }
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
