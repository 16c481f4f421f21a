//! A developer's own programs, which know nothing of this project but the environment variables that they are given.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::process::Command;
use vm::home::HOME_VARIABLE;

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

/// A program beside the tests' packages, `read-dotenv.cjs`, in an environment without variables.
pub fn client(program: &str) -> Command {
    let [runner, path] = words(program);
    #[expect(clippy::disallowed_methods, reason = "the programs get an environment of their own")]
    let mut command = Command::new(runner);
    bare(&mut command).arg(path);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs such a program to the end inside `emulator run` with these flags, with an argument.
///
/// # Panics
/// When it cannot be started.
pub async fn run(emulator: &Emulator, flags: &[&str], program: &str, argument: &str) -> Run {
    let [runner, path] = words(program);
    let mut command = emulator.running(flags, &[&runner, &path, argument]);
    bare(&mut command).env(HOME_VARIABLE, emulator.home().home().root());
    finished(command.spawn().expect("the built program starts")).await
}

/// What runs programs of its kind, and its path.
fn words(program: &str) -> [String; 2] {
    let text = |path: PathBuf| path.into_os_string().into_string().expect("paths of tests are text");
    let runner = match Path::new(program).extension().and_then(|extension| extension.to_str()) {
        Some("cjs") => "node".to_owned(),
        Some("py") => text(path_from_env(CLIENTS_VARIABLE).join("python/bin/python")),
        Some("sh") => "sh".to_owned(),
        _ => panic!("nothing runs `{program}`"),
    };
    [runner, text(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(program))]
}

/// Takes everything of this machine's environment away but what finds programs and packages: a proxy is not for 127.0.0.1.
fn bare(command: &mut Command) -> &mut Command {
    let packages = path_from_env(CLIENTS_VARIABLE);
    let path = base::variables::raw("PATH").expect("there is a `PATH`");
    let dirs = std::env::split_paths(&path).chain([packages.join("python/bin")]);
    command.env_clear().env("PATH", std::env::join_paths(dirs).expect("they come from a `PATH`"));
    command.env("NODE_PATH", packages.join("node_modules"))
}
