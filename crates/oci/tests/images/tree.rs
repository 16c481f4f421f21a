//! Everything that can be seen of a tree, as text.

use std::fmt::Write;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

/// Lists paths, types, modes, owners, link counts, times, contents and attributes below `dir`. Times of directories are left out:
/// umoci changes those of directories in which it creates others that no entry describes.
pub(crate) fn list(dir: &Path) -> String {
    let mut text = String::new();
    add(dir, dir, &mut text);
    text
}

/// Compares two lists, and shows only the lines that differ.
pub(crate) fn assert_equal(found: &str, expected: &str) {
    let only = |one: &str, other: &str| -> Vec<String> {
        one.lines().filter(|line| !other.lines().any(|same| same == *line)).map(str::to_owned).collect()
    };
    assert_eq!(only(found, expected), only(expected, found));
    assert_eq!(found, expected);
}

fn add(root: &Path, path: &Path, text: &mut String) {
    let data = path.symlink_metadata().unwrap();
    let kind = data.file_type();
    let relative = path.strip_prefix(root).unwrap().display();
    let owner = format!("{}:{}", data.uid(), data.gid());
    let (links, time) = if kind.is_dir() { (0, 0) } else { (data.nlink(), data.mtime()) };
    write!(text, "/{relative} {:o} {owner} {links} {time}", data.mode()).unwrap();
    for (name, value) in xattrs(path) {
        write!(text, " {name}={value:?}").unwrap();
    }
    if kind.is_symlink() {
        write!(text, " -> {}", std::fs::read_link(path).unwrap().display()).unwrap();
    } else if kind.is_file() {
        write!(text, " {} {}", data.len(), base::digest::of_file(path).unwrap()).unwrap();
    } else if kind.is_char_device() {
        write!(text, " device {}", data.rdev()).unwrap();
    }
    text.push('\n');
    if kind.is_dir() {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            add(root, &entry, text);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(path, &mut names).unwrap();
    let mut found = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name = std::str::from_utf8(name).unwrap();
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(path, name, &mut value).unwrap();
        value.truncate(length);
        found.push((name.to_owned(), value));
    }
    found.sort();
    found
}
