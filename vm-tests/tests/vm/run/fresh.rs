//! `emulator run --fresh`: an instance for one command, of which nothing is left.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use base::wait;
use instances::home::HomeExt;
use rustix::process::Signal;
use vm_tests::emulator::{Emulator, finished};

/// How many runs; every third is killed.
const RUNS: usize = 12;

/// How many of them at once.
const AT_ONCE: usize = 2;

/// The secrets that a command gets.
const SECRETS: [&str; 3] =
    ["STACK_PUBLISHABLE_CLIENT_KEY", "STACK_SECRET_SERVER_KEY", "STACK_SUPER_SECRET_ADMIN_KEY"];

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
    let script = SECRETS.map(|name| format!("echo \"${name}\";")).concat();
    let one = async |number: usize| {
        let mut values = Vec::new();
        for round in (number..RUNS).step_by(AT_ONCE) {
            if round % 3 == 2 {
                // Before, during and after the start.
                killed(&emulator, Duration::from_millis(40 * round as u64)).await;
            } else {
                let run = emulator.run_beside(&["--fresh"], &["sh", "-c", &script]).await.expect(0);
                values.extend(run.stdout.lines().map(str::to_owned));
            }
        }
        values
    };
    let (first, second) = tokio::join!(one(0), one(1));
    let values = [first, second].concat();
    assert_eq!(values.len(), RUNS / 3 * 2 * SECRETS.len());
    let distinct: BTreeSet<_> = values.iter().collect();
    assert_eq!(distinct.len(), values.len(), "a secret of two");
    let placeholders: Vec<_> =
        emulator.home().manifest().stack.secrets.into_iter().map(|secret| secret.placeholder).collect();
    assert!(values.iter().all(|value| !value.is_empty() && !placeholders.contains(value)), "{values:?}");
    // The next command does not even have to be about one of them.
    emulator.run(&["list"]).await.expect(0);
    assert_eq!(left(&emulator), [""; 0]);
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
