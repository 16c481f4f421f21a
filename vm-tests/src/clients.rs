//! A developer's own programs, which know nothing of this project but the environment variables that they are given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;

use crate::emulator::{Emulator, Run, finished};
use crate::path_from_env;

/// Variable with the directory of the packages that they use.
pub const CLIENTS_VARIABLE: &str = "VM_TESTS_CLIENTS";

/// Environment variables by their names.
pub type Variables = BTreeMap<String, String>;

/// The variables of a running instance as `emulator env` gives them to programs, with more arguments.
///
/// # Panics
/// When they cannot be had.
pub async fn variables(emulator: &Emulator, more: &[&str]) -> Variables {
    let report = emulator.run(&[&["env", "-o", "json"], more].concat()).await.expect(0).json();
    let variables = report["variables"].as_object().expect("`variables` is an object");
    let text = |value: &Value| value.as_str().expect("a pipe gets every value").to_owned();
    variables.iter().map(|(name, value)| (name.clone(), text(value))).collect()
}

/// A program beside the tests' packages, `sign-in.cjs`, with what runs programs of its kind.
///
/// # Panics
/// When there is nothing that runs it.
pub fn client(program: &str) -> Command {
    let clients = path_from_env(CLIENTS_VARIABLE);
    let runner = match Path::new(program).extension().and_then(|extension| extension.to_str()) {
        Some("cjs") => PathBuf::from("node"),
        Some("py") => clients.join("python/bin/python"),
        Some("sh") => PathBuf::from("sh"),
        _ => panic!("nothing runs `{program}`"),
    };
    #[expect(clippy::disallowed_methods, reason = "the programs get an environment of their own")]
    let mut command = Command::new(runner);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(program));
    // Nothing else of this machine's environment: a proxy is not for 127.0.0.1.
    command.env_clear().env("PATH", base::variables::raw("PATH").expect("there is a `PATH`"));
    command.env("NODE_PATH", clients.join("node_modules"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs it to the end, with these variables and this argument.
///
/// # Panics
/// When it cannot be started.
pub async fn run(program: &str, variables: &Variables, argument: &str) -> Run {
    finished(client(program).envs(variables).arg(argument).spawn().expect("the client starts")).await
}
