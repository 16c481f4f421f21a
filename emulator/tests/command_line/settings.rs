//! The files with settings.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;

use crate::harness::Emulator;

/// In the directory `src` of a repository whose file with settings has this text.
fn project(text: &str) -> Emulator {
    let emulator = Emulator::new().without_programs().within("repository/src");
    let root = emulator.dir().parent().unwrap().to_owned();
    fs::create_dir(root.join(".git")).unwrap();
    fs::write(root.join("emulator.toml"), text).unwrap();
    emulator
}

/// The settings as `doctor` shows them.
fn settings(emulator: &Emulator) -> String {
    let shown = emulator.run(&["doctor"]);
    let (_, settings) = shown.split_once("\n\nSETTING").unwrap_or_else(|| panic!("{shown}"));
    format!("SETTING{}", settings.split("\n--- stderr").next().unwrap())
}

#[test]
fn a_variable_precedes_the_project_which_precedes_the_user() {
    let text = "memory = 3072\ncpus = 3\nrepo = \"o/project\"\n[ports]\nbackend = 30001\n";
    let emulator = project(text).with("EMULATOR_CPUS", "5");
    emulator.write(
        "config.toml",
        "memory = 1024\narch = \"arm64\"\n[ports]\nbackend = 30002\ndashboard = \"auto\"\n",
    );
    insta::assert_snapshot!(settings(&emulator), @"
    SETTING          VALUE      FROM
    arch             arm64      user: `[root]/home/config.toml`
    repo             o/project  project: `[root]/repository/emulator.toml`
    cpus             5          environment: `EMULATOR_CPUS`
    memory           3072       project: `[root]/repository/emulator.toml`
    ports.backend    30001      project: `[root]/repository/emulator.toml`
    ports.dashboard  auto       user: `[root]/home/config.toml`
    ");
    let json = emulator.run(&["doctor", "-o", "json"]);
    assert!(json.contains(r#""origin": "project""#), "{json}");
}

#[test]
fn a_flag_precedes_a_file_of_settings() {
    let emulator = project("arch = \"arm64\"\nno-snapshot = true\n");
    let missing = |arch: &str| format!("`qemu-system-{arch}` is neither in");
    let shown = emulator.run(&["start"]);
    assert!(shown.contains(&missing("aarch64")), "{shown}");
    let shown = emulator.run(&["start", "--arch", "amd64"]);
    assert!(shown.contains(&missing("x86_64")), "{shown}");
    let shown = emulator.run(&["status"]);
    assert!(shown.contains("default-arm64"), "{shown}");
    let help = emulator.run(&["start", "--help"]);
    assert_eq!(help, Emulator::new().run(&["start", "--help"]), "it is the same everywhere");
}

#[test]
fn what_is_wrong_with_a_file_of_settings_names_the_line() {
    let wrong = |text: &str| project(text).run(&["status"]);
    insta::assert_snapshot!(wrong("arch = \"arm64\"\ncpu = 4\n"), @"
    exit 2
    --- stdout

    --- stderr
    error: `[root]/repository/emulator.toml:2:1`: unknown key `cpu`: there are `instance`, `stack`, `arch`, `repo`, `accel`, `cpus`, `memory`, `timeout`, `snapshot-timeout`, `no-snapshot`, `no-rotation` and the table `ports`

    hint: correct that line; `docs/home.md` lists the keys
    ");
    insta::assert_snapshot!(wrong("\ncpus = 0\n"), @"
    exit 2
    --- stdout

    --- stderr
    error: `[root]/repository/emulator.toml:2:8`: `cpus` cannot be `0`: 0 is not in 1..=4096

    hint: correct that line; `docs/home.md` lists the keys
    ");
    insta::assert_snapshot!(wrong("memory =\n"), @"
    exit 2
    --- stdout

    --- stderr
    error: `[root]/repository/emulator.toml:1:9`: invalid TOML: string values must be quoted

    hint: correct that line; `docs/home.md` lists the keys
    ");
    insta::assert_snapshot!(wrong("[ports]\nbackend = 70000\n"), @"
    exit 2
    --- stdout

    --- stderr
    error: `[root]/repository/emulator.toml:2:11`: invalid port `70000`: use a number from 1 to 65535 or `auto`

    hint: correct that line; `docs/home.md` lists the keys
    ");
    insta::assert_snapshot!(wrong("no-rotation = \"perhaps\"\n"), @"
    exit 2
    --- stdout

    --- stderr
    error: `[root]/repository/emulator.toml:1:15`: `no-rotation` cannot be `perhaps`: value was not a boolean

    hint: correct that line; `docs/home.md` lists the keys
    ");
    let emulator = Emulator::new();
    emulator.write("config.toml", "arch = \"mips\"");
    insta::assert_snapshot!(emulator.run(&["list", "-o", "json"]), @r#"
    exit 2
    --- stdout
    {"schemaVersion":1,"error":{"code":"usage","message":"`[root]/home/config.toml:1:8`: `arch` cannot be `mips`: unknown architecture `mips`: it is `amd64` or `arm64`","causes":[],"hint":"correct that line; `docs/home.md` lists the keys"}}
    --- stderr
    error: `[root]/home/config.toml:1:8`: `arch` cannot be `mips`: unknown architecture `mips`: it is `amd64` or `arm64`

    hint: correct that line; `docs/home.md` lists the keys
    "#);
    let help = emulator.run(&["--help"]);
    assert!(help.starts_with("exit 0\n"), "{help}");
}
