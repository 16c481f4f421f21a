//! Errors as programs read them.

use crate::harness::Emulator;

#[test]
fn an_error_in_json_has_code_message_causes_and_hint() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["logs", "-o", "json"]), @r#"
    exit 3
    --- stdout
    {"schemaVersion":1,"error":{"code":"not-running","message":"instance `default` has no logs yet","causes":[],"hint":"start it with `emulator start`"}}
    --- stderr
    error: instance `default` has no logs yet

    hint: start it with `emulator start`
    "#);
    insta::assert_snapshot!(emulator.run(&["reset", "--instance", "Not a name", "--json"]), @r#"
    exit 2
    --- stdout
    {"schemaVersion":1,"error":{"code":"usage","message":"invalid value 'Not a name' for '--instance <NAME>': invalid instance name `Not a name`: use 1 to 32 lower-case letters, digits or hyphens; no hyphen at the start or end","causes":[],"hint":"see `emulator --help`"}}
    --- stderr
    error: invalid value 'Not a name' for '--instance <NAME>': invalid instance name `Not a name`: use 1 to 32 lower-case letters, digits or hyphens; no hyphen at the start or end

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(emulator.with("GITHUB_API_URL", "ftp://a").run(&["list-releases", "--repo", "a/b", "--json"]), @r#"
    exit 2
    --- stdout
    {"schemaVersion":1,"error":{"code":"usage","message":"`GITHUB_API_URL` is `ftp://a`, which is not a valid address of an API: write `https://HOST/api/v3`","causes":[],"hint":null}}
    --- stderr
    error: `GITHUB_API_URL` is `ftp://a`, which is not a valid address of an API: write `https://HOST/api/v3`
    "#);
}

#[test]
fn a_command_line_that_is_not_understood_is_an_error_in_json_too() {
    let emulator = Emulator::new();
    insta::assert_snapshot!(emulator.run(&["start", "--cpus", "many", "-o", "json"]), @r#"
    exit 2
    --- stdout
    {"schemaVersion":1,"error":{"code":"usage","message":"invalid value 'many' for '--cpus <N>': invalid digit found in string","causes":[],"hint":"see `emulator --help`"}}
    --- stderr
    error: invalid value 'many' for '--cpus <N>': invalid digit found in string

    For more information, try '--help'.
    "#);
    insta::assert_snapshot!(emulator.with("EMULATOR_CPUS", "0").run(&["--json", "start"]), @r#"
    exit 2
    --- stdout
    {"schemaVersion":1,"error":{"code":"usage","message":"invalid value '0' for 'EMULATOR_CPUS': 0 is not in 1..=4096","causes":[],"hint":"see `emulator --help`"}}
    --- stderr
    error: invalid value '0' for 'EMULATOR_CPUS': 0 is not in 1..=4096

    For more information, try '--help'.
    "#);
    let help = Emulator::new().run(&["--help", "--json"]);
    assert!(help.starts_with("exit 0\n--- stdout\nA whole backend"), "{help}");
}
