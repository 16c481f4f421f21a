//! Which folders of a crate use which others, by the paths in its sources.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The files that make one folder use another, by both. A folder is a module at the top of the crate.
pub(crate) type Arrows = BTreeMap<(String, String), Vec<String>>;

/// All files of Rust in `dir`, except those that a build has made.
pub(crate) fn rust_files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The arrows between the folders of the crate whose sources are in `src`.
pub(crate) fn arrows(src: &Path) -> Arrows {
    let files: Vec<_> = rust_files(src).into_iter().map(|file| (module(src, &file), file)).collect();
    let folders: BTreeSet<_> = files.iter().filter_map(|(module, _)| module.first().cloned()).collect();
    let mut arrows = Arrows::new();
    for (module, file) in &files {
        let Some(folder) = module.first() else { continue };
        let text = fs::read_to_string(file).unwrap();
        let name = file.strip_prefix(src).unwrap().display().to_string();
        for used in used(&production(&text), module.len()) {
            if used != *folder && folders.contains(&used) {
                arrows.entry((folder.clone(), used)).or_default().push(name.clone());
            }
        }
    }
    arrows
}

/// The path of the module that is in `file`.
fn module(src: &Path, file: &Path) -> Vec<String> {
    let inside = file.strip_prefix(src).unwrap().with_extension("");
    let mut parts: Vec<_> = inside.iter().map(|part| part.to_str().unwrap().to_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// The text without comments, and without what is for tests only: such an item ends where its attribute's indentation returns.
fn production(text: &str) -> String {
    let mut kept = String::new();
    let mut test_item: Option<String> = None;
    for line in text.lines() {
        let indentation = &line[..line.len() - line.trim_start().len()];
        if let Some(start) = &test_item {
            let ends = line.ends_with(['}', ';']) && indentation == start;
            test_item = test_item.filter(|_| !ends);
        } else if line.trim_start().starts_with("#[cfg(test)]") {
            test_item = Some(indentation.to_owned());
        } else {
            kept.push_str(line.split("//").next().unwrap_or_default());
            kept.push('\n');
        }
    }
    kept
}

/// The names at the top of the crate that paths in `text`, which is a module of `depth`, lead to.
fn used(text: &str, depth: usize) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let to_top = "super::".repeat(depth);
    for start in ["crate::", &to_top] {
        for (at, _) in text.match_indices(start) {
            let before = text[..at].chars().next_back();
            // As in `super::super::`, or in the name of a macro's crate.
            if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':' || c == '$') {
                continue;
            }
            found.extend(heads(&text[at + start.len()..]));
        }
    }
    found
}

/// The first names of the path, or of each of the paths in braces, that `text` begins with.
fn heads(text: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    };
    let Some(group) = text.strip_prefix('{') else { return vec![name(text)] };
    let (mut depth, mut heads, mut rest) = (0, vec![name(group)], group);
    while let Some(at) = rest.find(['{', '}', ',']) {
        match rest.as_bytes()[at] {
            b'{' => depth += 1,
            b'}' if depth == 0 => break,
            b'}' => depth -= 1,
            _ if depth == 0 => heads.push(name(&rest[at + 1..])),
            _ => {}
        }
        rest = &rest[at + 1..];
    }
    heads
}

#[test]
fn every_way_to_write_a_path_is_understood() {
    let text = "
use crate::one::Thing;
use crate::{two, three::{self, deep}, four as other};
fn f() -> super::super::five::Thing {
    crate::six::make() // crate::comment
}
#[cfg(test)]
fn helper() {
    crate::helper::make();
}
pub(crate) use super::own;
#[cfg(test)]
mod tests {
    use crate::tests_only;
}
";
    let found: Vec<_> = used(&production(text), 2).into_iter().collect();
    assert_eq!(found, ["five", "four", "one", "six", "three", "two"]);
}
