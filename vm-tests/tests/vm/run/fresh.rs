//! `emulator run --fresh`: an instance for one command, of which nothing is left.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use base::wait;
use instances::home::HomeExt;
use rustix::process::Signal;
use serde_json::Value;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::number_from_env;

/// Variable with the number of runs; every third is killed.
const RUNS: &str = "VM_TESTS_FRESH_RUNS";

/// Number of runs by default: a multiple of three.
const DEFAULT_RUNS: usize = 12;

/// How many of them at once.
const AT_ONCE: usize = 2;

/// The secrets that a command gets.
const SECRETS: [&str; 3] =
    ["STACK_PUBLISHABLE_CLIENT_KEY", "STACK_SECRET_SERVER_KEY", "STACK_SUPER_SECRET_ADMIN_KEY"];

/// Signs a user up, whose address and password are those of all other runs, and prints the answer.
const SIGN_UP: &str = r#"curl --silent --show-error --fail-with-body --header "x-stack-project-id: $STACK_PROJECT_ID" \
    --header "x-stack-access-type: client" --header "x-stack-publishable-client-key: $STACK_PUBLISHABLE_CLIENT_KEY" \
    --json '{"email":"same@example.com","password":"correct horse battery"}' "$STACK_API_URL/api/v1/auth/password/sign-up""#;

/// What identifies the user and its session in the answer.
const FIELDS: [&str; 3] = ["access_token", "refresh_token", "user_id"];

/// Longest wait for what a killed run has left to be cleaned up by itself.
const LIMIT: Duration = Duration::from_secs(20);

/// What is in the directory of the instances.
fn left(emulator: &Emulator) -> Vec<String> {
    let entries = std::fs::read_dir(emulator.home().home().instances()).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// Starts a command that lasts, and kills the program after a while.
async fn killed(emulator: &Emulator, after: Duration) {
    let mut child = emulator.running(&["--fresh"], &["sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
    tokio::time::sleep(after).await;
    child.start_kill().unwrap();
    assert_eq!(finished(child).await.code, 128 + Signal::KILL.as_raw());
}

#[tokio::test]
async fn runs_of_their_own_share_no_value_and_leave_nothing() {
    own_values(Emulator::for_amd64()).await;
}

/// Runs with instances of their own, some of which are killed.
pub(crate) async fn own_values(emulator: Emulator) {
    let runs = number_from_env(RUNS).unwrap_or(DEFAULT_RUNS);
    let script = SECRETS.map(|name| format!("echo \"${name}\";")).concat() + SIGN_UP;
    let one = async |number: usize| {
        let mut values = Vec::new();
        for round in (number..runs).step_by(AT_ONCE) {
            if round % 3 == 2 {
                // Before, during and after the start.
                killed(&emulator, Duration::from_millis(40 * (round % 30) as u64)).await;
            } else {
                let run = emulator.run_beside(&["--fresh"], &["sh", "-c", &script]).await.expect(0);
                let (secrets, user) = run.stdout.trim_end().rsplit_once('\n').unwrap();
                let user: Value = serde_json::from_str(user).unwrap();
                values.extend(secrets.lines().map(str::to_owned));
                values.extend(FIELDS.map(|field| user[field].as_str().unwrap().to_owned()));
            }
        }
        values
    };
    let (first, second) = tokio::join!(one(0), one(1));
    let values = [first, second].concat();
    assert_eq!(values.len(), runs / 3 * 2 * (SECRETS.len() + FIELDS.len()));
    let distinct: BTreeSet<_> = values.iter().collect();
    assert_eq!(distinct.len(), values.len(), "a value of two");
    let placeholders: Vec<_> =
        emulator.home().manifest().stack.secrets.into_iter().map(|secret| secret.placeholder).collect();
    assert!(values.iter().all(|value| !value.is_empty() && !placeholders.contains(value)), "{values:?}");
    // The next command does not even have to be about one of them. What an attendant is deleting already it leaves to that.
    emulator.run(&["list"]).await.expect(0);
    let empty = wait::until(LIMIT, async || left(&emulator).is_empty().then_some(())).await;
    assert!(empty.is_ok(), "{:?}", left(&emulator));
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn what_a_killed_run_has_left_is_cleaned_up_without_a_command() {
    let emulator = Emulator::for_amd64();
    let mut command = emulator.running(&["--fresh"], &["sh", "-c", "echo runs; sleep 600 & wait"]);
    let mut child = command.spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    tokio::io::AsyncReadExt::read_u8(&mut stdout).await.unwrap();
    child.start_kill().unwrap();
    finished(child).await;
    wait::until(LIMIT, async || left(&emulator).is_empty().then_some(()))
        .await
        .expect("the attendant deletes it");
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn an_instance_of_its_own_can_be_kept() {
    let emulator = Emulator::for_amd64();
    let run =
        emulator.run_beside(&["--fresh", "--keep"], &["sh", "-c", "echo $EMULATOR_INSTANCE"]).await.expect(0);
    let kept = emulator.instance(run.stdout.trim());
    kept.run(&["status"]).await.expect(0);
    kept.run(&["delete", "--yes"]).await.expect(0);
    assert_eq!(left(&emulator), [""; 0]);
    emulator.assert_tidy().await;
}
