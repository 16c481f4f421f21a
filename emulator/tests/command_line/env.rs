//! `emulator env`.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use vm::process::ProcessIdentity;

use crate::harness::Emulator;

const SECRET: &str = "5ec0000000000000000000000000000000000000000000000000000000000001";

/// An instance that is taken for running: its records, with this process as its machine.
fn running() -> Emulator {
    let emulator = Emulator::new();
    let stack = fake_image::stack();
    let process = ProcessIdentity::of(std::process::id().try_into().unwrap()).unwrap().unwrap();
    let mut live: Value = serde_json::from_str(include_str!("live.json")).unwrap();
    live["machine"]["process"] = json!({ "pid": process.pid, "started": process.started });
    let port = |port: &image::stack::Port| json!({ "name": port.name, "guest": port.guest, "host": port.host, "variable": port.env, "health": null });
    live["stack"]["ports"] = stack.ports.iter().map(port).collect();
    live["stack"]["secrets"] = json!(stack.secrets);
    live["stack"]["exports"] = json!(stack.exports);
    live["stack"]["project"] = json!(stack.project);
    emulator.write("instances/default/live.json", &live.to_string());
    let values = stack.secrets.iter().map(|secret| (secret.name.clone(), json!(SECRET)));
    let session = json!({
        "image": { "path": "/image", "sha256": "ab".repeat(32), "size": 5 },
        "secrets": Value::Object(values.collect()),
        "createdAt": "2026-01-01T00:00:00Z",
    });
    let record = json!({
        "schemaVersion": 1,
        "name": "default",
        "createdAt": "2026-01-01T00:00:00Z",
        "ports": {},
        "session": session,
    });
    emulator.write("instances/default/instance.json", &record.to_string());
    emulator
}

#[test]
fn a_stopped_instance_has_no_variables() {
    insta::assert_snapshot!(Emulator::new().run(&["env"]), @r"
    exit 3
    --- stdout

    --- stderr
    error: instance `default` is not running

    hint: start it with `emulator start`
    ");
}

#[test]
fn a_pipe_gets_the_variables_with_their_secrets() {
    insta::assert_snapshot!(running().run(&["env"]), @r"
    exit 0
    --- stdout
    STACK_PUBLISHABLE_CLIENT_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    VITE_STACK_PUBLISHABLE_CLIENT_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    EXPO_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    STACK_SECRET_SERVER_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    STACK_SUPER_SECRET_ADMIN_KEY=5ec0000000000000000000000000000000000000000000000000000000000001
    STACK_API_URL=http://127.0.0.1:26701
    NEXT_PUBLIC_STACK_API_URL=http://127.0.0.1:26701
    VITE_STACK_API_URL=http://127.0.0.1:26701
    EXPO_PUBLIC_STACK_API_URL=http://127.0.0.1:26701
    STACK_PROJECT_ID=internal
    NEXT_PUBLIC_STACK_PROJECT_ID=internal
    VITE_STACK_PROJECT_ID=internal
    EXPO_PUBLIC_STACK_PROJECT_ID=internal
    STACK_DASHBOARD_URL=http://127.0.0.1:26700
    NEXT_PUBLIC_STACK_DASHBOARD_URL=http://127.0.0.1:26700
    VITE_STACK_DASHBOARD_URL=http://127.0.0.1:26700
    EXPO_PUBLIC_STACK_DASHBOARD_URL=http://127.0.0.1:26700
    EMULATOR_INSTANCE=default
    --- stderr
    ");
}

#[test]
fn json_is_one_document_with_every_variable() {
    insta::assert_snapshot!(running().run(&["env", "-o", "json"]), @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "instance": "default",
      "variables": {
        "EMULATOR_INSTANCE": "default",
        "EXPO_PUBLIC_STACK_API_URL": "http://127.0.0.1:26701",
        "EXPO_PUBLIC_STACK_DASHBOARD_URL": "http://127.0.0.1:26700",
        "EXPO_PUBLIC_STACK_PROJECT_ID": "internal",
        "EXPO_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001",
        "NEXT_PUBLIC_STACK_API_URL": "http://127.0.0.1:26701",
        "NEXT_PUBLIC_STACK_DASHBOARD_URL": "http://127.0.0.1:26700",
        "NEXT_PUBLIC_STACK_PROJECT_ID": "internal",
        "NEXT_PUBLIC_STACK_PUBLISHABLE_CLIENT_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001",
        "STACK_API_URL": "http://127.0.0.1:26701",
        "STACK_DASHBOARD_URL": "http://127.0.0.1:26700",
        "STACK_PROJECT_ID": "internal",
        "STACK_PUBLISHABLE_CLIENT_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001",
        "STACK_SECRET_SERVER_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001",
        "STACK_SUPER_SECRET_ADMIN_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001",
        "VITE_STACK_API_URL": "http://127.0.0.1:26701",
        "VITE_STACK_DASHBOARD_URL": "http://127.0.0.1:26700",
        "VITE_STACK_PROJECT_ID": "internal",
        "VITE_STACK_PUBLISHABLE_CLIENT_KEY": "5ec0000000000000000000000000000000000000000000000000000000000001"
      },
      "secrets": [
        "STACK_SECRET_SERVER_KEY",
        "STACK_SUPER_SECRET_ADMIN_KEY"
      ],
      "unconfirmed": false
    }
    --- stderr
    "#);
    let emulator = running();
    assert_eq!(emulator.run(&["env", "--json"]), emulator.run(&["--output", "json", "env"]));
}

#[test]
fn each_language_sets_the_variables_in_its_own_way() {
    let emulator = running();
    let line = |format: &str| {
        let shown = emulator.run(&["env", "-o", format]);
        shown.lines().find(|line| line.contains("STACK_API_URL")).unwrap().to_owned()
    };
    assert_eq!(line("dotenv"), "STACK_API_URL=http://127.0.0.1:26701");
    assert_eq!(line("shell"), "export STACK_API_URL='http://127.0.0.1:26701'");
    assert_eq!(line("powershell"), "$env:STACK_API_URL = 'http://127.0.0.1:26701'");
    assert_eq!(line("github"), "STACK_API_URL<<END_OF_VALUE");
}

#[test]
fn a_terminal_gets_secrets_only_on_request() {
    let emulator = running();
    for format in ["dotenv", "json", "shell", "powershell", "github"] {
        let (code, shown) = emulator.run_with_stdout_on_terminal(&["env", "-o", format]);
        assert_eq!(code, 0, "{shown}");
        assert!(shown.contains("26701"), "{shown}");
        let secret = shown.lines().any(|line| line.contains("SECRET") && line.contains(SECRET));
        assert!(!secret, "{format}: {shown}");
        assert!(shown.contains("secrets are not shown on a terminal: add `--show-secrets`"), "{shown}");
        let (_, shown) = emulator.run_with_stdout_on_terminal(&["env", "--show-secrets", "-o", format]);
        assert!(shown.matches(SECRET).count() >= 6, "{format}: {shown}");
    }
}

#[test]
fn a_file_that_others_can_read_is_warned_of() {
    let emulator = running();
    let file = emulator.path("variables");
    fs::write(&file, "").unwrap();
    let warned = |mode: u32| {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        emulator.run_into(file.to_str().unwrap(), &["env"]).contains("make it private with `chmod 600`")
    };
    assert!(warned(0o644));
    assert!(!warned(0o600));
    assert!(fs::read_to_string(&file).unwrap().contains(SECRET));
}

#[test]
fn only_a_workflow_gets_its_secrets_masked() {
    let shown = running().run(&["env", "-o", "github"]);
    assert!(!shown.contains("::add-mask::"), "{shown}");
    let shown = running().with("GITHUB_ACTIONS", "true").run(&["env", "-o", "github"]);
    let (stdout, stderr) = shown.split_once("--- stderr").unwrap();
    assert!(stderr.contains(&format!("::add-mask::{SECRET}")), "{shown}");
    assert!(!stdout.contains("::add-mask::"), "{shown}");
    let shown = running().with("GITHUB_ACTIONS", "true").run(&["env"]);
    assert!(!shown.contains("::add-mask::"), "{shown}");
}

#[test]
fn a_configuration_file_has_to_exist() {
    insta::assert_snapshot!(running().run(&["env", "--config-file", "/no/such/file"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: cannot find `/no/such/file`
      cause: No such file or directory (os error 2)

    hint: name the project's configuration file with `--config-file FILE`
    ");
}

#[test]
fn a_format_of_another_command_is_refused() {
    let shown = running().run(&["env", "-o", "table"]);
    assert!(
        shown.starts_with("exit 2\n") && shown.contains("[possible values: dotenv, json, shell"),
        "{shown}"
    );
    let shown = running().run(&["status", "-o", "shell"]);
    assert!(shown.starts_with("exit 2\n") && shown.contains("[possible values: table, json]"), "{shown}");
}
