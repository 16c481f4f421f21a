//! Which instance a command acts on.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::path::{Path, PathBuf};

use crate::harness::Emulator;

/// A linked worktree of a repository that is not there.
fn worktree(parent: &Path, name: &str) -> PathBuf {
    let dir = parent.join(name);
    fs::create_dir_all(dir.join("below")).unwrap();
    fs::write(dir.join(".git"), format!("gitdir: /repository/.git/worktrees/{name}\n")).unwrap();
    dir
}

/// The instance that `status` is about.
fn acted_on(emulator: &Emulator, args: &[&str]) -> String {
    let shown = emulator.run(&[&["status"], args].concat());
    let line = shown.lines().find(|line| line.starts_with("instance")).unwrap_or_else(|| panic!("{shown}"));
    line.split_whitespace().nth(1).unwrap().to_owned()
}

#[test]
fn flag_then_variable_then_worktree_then_default_decides() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (worktree(dir.path(), "one"), worktree(dir.path(), "other"));
    let within = |dir: &Path| Emulator::new().in_directory(dir);
    assert_eq!(acted_on(&within(dir.path()), &[]), "default");
    let name = acted_on(&within(&one), &[]);
    assert!(name.starts_with("one-"), "{name}");
    assert_eq!(acted_on(&within(&one.join("below")), &[]), name);
    assert_ne!(acted_on(&within(&other), &[]), name);
    let with = || within(&one).with("EMULATOR_INSTANCE", "named");
    assert_eq!(acted_on(&with(), &[]), "named");
    assert_eq!(acted_on(&with(), &["--instance", "flagged"]), "flagged");
    assert_eq!(acted_on(&within(&one).with("EMULATOR_INSTANCE", ""), &[]), name);
}

#[test]
fn another_architecture_has_an_instance_beside_the_worktrees() {
    let dir = tempfile::tempdir().unwrap();
    let emulator = Emulator::new().in_directory(&worktree(dir.path(), "one"));
    let instances = ["amd64", "arm64"].map(|arch| acted_on(&emulator, &["--arch", arch]));
    let own = acted_on(&emulator, &[]);
    assert!(instances.contains(&own) && instances[0] != instances[1], "{instances:?}");
    let named = Emulator::new().with("EMULATOR_INSTANCE", "named");
    assert_eq!(["amd64", "arm64"].map(|arch| acted_on(&named, &["--arch", arch])), ["named"; 2]);
}

#[test]
fn a_variable_that_is_no_name_is_an_error_unless_a_flag_is_given() {
    let emulator = Emulator::new().with("EMULATOR_INSTANCE", "../x");
    insta::assert_snapshot!(emulator.run(&["status"]), @"
    exit 2
    --- stdout

    --- stderr
    error: the environment variable `EMULATOR_INSTANCE` cannot be used
      cause: invalid instance name `../x`: use 1 to 32 lower-case letters, digits or hyphens; no hyphen at the start or end
    ");
    assert_eq!(acted_on(&emulator, &["--instance", "one"]), "one");
}

#[test]
fn a_hint_names_the_instance_unless_it_is_the_one_here() {
    let dir = tempfile::tempdir().unwrap();
    let here = worktree(dir.path(), "one");
    let hint = |emulator: Emulator, args: &[&str]| {
        let shown = emulator.run(&[&["logs"], args].concat());
        let hint = shown.lines().find_map(|line| line.strip_prefix("hint: start it with "));
        hint.unwrap_or_else(|| panic!("{shown}")).to_owned()
    };
    assert_eq!(hint(Emulator::new(), &[]), "`emulator start`");
    assert_eq!(hint(Emulator::new().in_directory(&here), &[]), "`emulator start`");
    let default = ["--instance", "default"];
    assert_eq!(hint(Emulator::new().in_directory(&here), &default), "`emulator start --instance default`");
    let named = Emulator::new().with("EMULATOR_INSTANCE", "named");
    assert_eq!(hint(named, &default), "`emulator start --instance default`");
}
