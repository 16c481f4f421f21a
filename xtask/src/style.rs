//! The repository is written as `STYLE.md` asks: the words, the width of Markdown, the names of tests.

use std::fs;
use std::path::{Path, PathBuf};

/// Documents that are not read for words: one lists them, the other describes versions as they were.
const UNREAD: &[&str] = &["STYLE.md", "CHANGELOG.md"];

/// The worst words of the list in `STYLE.md`.
const WORDS: &[&str] = &[
    "anew",
    "are no",
    "at one stroke",
    "for ever",
    "go on",
    "goes on",
    "going on",
    "gone on",
    "in place of",
    "is no",
    "nobody",
    "prove",
    "proved",
    "proves",
    "told",
    "went on",
    "whoever",
];

/// Where a word of the list is the usual one.
const USUAL: &[&str] = &["there is no", "there are no", "is no longer", "are no longer", "is no more than"];

/// This file, which lists the words.
const OWN: &str = "xtask/src/style.rs";

const COLUMNS: usize = 100;
const NAME: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every file below `dir` with this extension, by its path from the root of the repository.
fn files(dir: &Path, extension: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let (path, name) = (entry.path(), entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            if name != "target" && (!name.starts_with('.') || name == ".github") {
                files(&path, extension, found);
            }
        } else if path.extension().is_some_and(|of| of == extension) {
            let shown = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((shown, fs::read_to_string(&path).unwrap()));
        }
    }
}

fn all(extension: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    files(&root(), extension, &mut found);
    assert!(!found.is_empty(), "no file with the extension {extension}");
    found
}

/// All Rust code but this file.
fn code() -> impl Iterator<Item = (String, String)> {
    all("rs").into_iter().filter(|(path, _)| path != OWN)
}

/// The text as one line, so that an expression is found where a line breaks in it.
fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let line = line.trim().trim_end_matches('\\').trim_end();
        let marker = ["///", "//!", "//"].into_iter().find_map(|marker| line.strip_prefix(marker));
        marker.unwrap_or(line).trim()
    });
    lines.collect::<Vec<_>>().join(" ")
}

/// The words of the list in a text, each with what is around it.
fn bad_words(text: &str) -> Vec<String> {
    let text = one_line(text);
    let lower = text.to_ascii_lowercase();
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut found = Vec::new();
    for word in WORDS {
        for (at, _) in lower.match_indices(word) {
            let end = at + word.len();
            let usual = USUAL.iter().any(|usual| {
                usual.find(word).is_some_and(|offset| {
                    at.checked_sub(offset).is_some_and(|start| lower[start..].starts_with(usual))
                })
            });
            if usual || inside(lower[..at].chars().next_back()) || inside(lower[end..].chars().next()) {
                continue;
            }
            let from = (0..=at.saturating_sub(40)).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
            let to = (end + 40..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
            found.push(format!("`{word}` in: {}", &text[from..to]));
        }
    }
    found
}

/// The lines of a Markdown document that are too long and could be shorter, with their numbers.
fn long_lines(text: &str) -> Vec<(usize, &str)> {
    let mut code = false;
    let mut found = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        code ^= line.trim_start().starts_with("```");
        let breakable = line.trim_start_matches(['-', ' ']).contains(' ') && !line.starts_with(['|', '#']);
        if !code && breakable && line.chars().count() > COLUMNS {
            found.push((number, line));
        }
    }
    found
}

/// The names of the tests in a source file.
fn tests(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut is_test = false;
    for line in text.lines().map(str::trim) {
        let function = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some(function) = function {
            if is_test {
                found.extend(function.split('(').next());
            }
            is_test = false;
        }
    }
    found
}

#[test]
fn markdown_wraps_at_100_columns() {
    let mut long = Vec::new();
    for (path, text) in all("md").iter().filter(|(path, _)| path != "CHANGELOG.md") {
        long.extend(long_lines(text).iter().map(|(number, line)| format!("{path}:{number}: {line}")));
    }
    assert!(long.is_empty(), "lines of more than {COLUMNS} columns:\n{}", long.join("\n"));
}

#[test]
fn documents_and_code_are_in_plain_english() {
    let documents = all("md").into_iter().filter(|(path, _)| !UNREAD.contains(&path.as_str()));
    let mut bad = Vec::new();
    for (path, text) in documents.chain(code()) {
        bad.extend(bad_words(&text).iter().map(|word| format!("{path}: {word}")));
    }
    assert!(bad.is_empty(), "`STYLE.md` has better words for these:\n{}", bad.join("\n"));
}

#[test]
fn names_of_tests_are_short() {
    let mut long = Vec::new();
    for (path, text) in all("rs") {
        let names = tests(&text).into_iter().filter(|name| name.len() > NAME);
        long.extend(names.map(|name| format!("{path}: {name}")));
    }
    assert!(long.is_empty(), "names of more than {NAME} characters:\n{}", long.join("\n"));
}

#[test]
fn words_are_found_across_lines_and_only_as_words() {
    let found = |text| bad_words(text).len();
    assert_eq!(found("/// It goes\n    /// on."), 1);
    assert_eq!(found("\"it goes \\\n on\""), 1);
    assert_eq!(found("`x` is no name; nobody knows"), 2);
    assert_eq!(found("fn goes_on() {} // ongoing, improved, foretold"), 0);
    assert_eq!(found("There is no image, it is no longer needed"), 0);
}

#[test]
fn code_tables_and_links_may_be_long() {
    let long = "word ".repeat(30);
    assert_eq!(long_lines(&format!("# A\n\n{long}")), [(3, long.as_str())]);
    for allowed in [format!("```\n{long}\n```"), format!("| {long} |"), format!("- {}", "x".repeat(120))] {
        assert!(long_lines(&allowed).is_empty(), "{allowed}");
    }
}

#[test]
fn tests_are_found_behind_their_attributes() {
    let text =
        "#[test]\nfn a() {}\n#[tokio::test(flavor = \"x\")]\n#[ignore]\nasync fn b(x: u8) {}\nfn c() {}";
    assert_eq!(tests(text), ["a", "b"]);
}
