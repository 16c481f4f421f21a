//! A stack of PostgreSQL and mail alone. Clients that need no machine are in `beside`.

mod beside;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use vm_tests::api::Api;
use vm_tests::built_stack::built_stack;
use vm_tests::clients::{self, Variables, client};
use vm_tests::emulator::{Emulator, Started, finished};

/// A start of its machine that a program reads, on ports that no other machine has.
const START: [&str; 7] = ["start", "-o", "json", "--port", "mail=auto", "--port", "smtp=auto"];

/// The report of its health.
const STATUS: [&str; 3] = ["status", "-o", "json"];

/// Acknowledged messages after which QEMU is killed.
const MESSAGES: usize = 1000;

/// Mailboxes that they are in, so that none has more messages than are kept.
const MAILBOXES: usize = 10;

/// Lines of each message.
const LINES: usize = 500;

#[tokio::test]
async fn messages_outlive_whatever_happens_to_the_machine_but_a_reset() {
    let emulator = built().await;
    let first = start(&emulator).await.by("snapshot");
    let variables = clients::variables(&emulator, &[]).await;
    clients_need_nothing_but_the_variables(&variables).await;
    the_machine_has_nothing_of_other_services(&emulator, &variables).await;
    what_does_not_work_turns_the_status(&emulator, &first.api("mail")).await;

    let acknowledged = acknowledged_when_qemu_is_killed(&emulator, &variables).await;
    let again = start(&emulator).await.by("cold");
    are_kept(&again.api("mail"), &acknowledged).await;
    let orphans = "SELECT count(*) FROM mail.content WHERE number NOT IN (SELECT content FROM mail.message)";
    assert_eq!(emulator.guest().sql(orphans).await, "0", "nothing is half kept");

    emulator.finish().await;
    let resumed = start(&emulator).await.by("suspended");
    are_kept(&resumed.api("mail"), &acknowledged).await;
    emulator.finish().await;
    emulator.run(&["reset", "--yes"]).await.expect(0);
    let other = start(&emulator).await.by("snapshot");
    for mailbox in 0..MAILBOXES {
        assert_eq!(listed(&other.api("mail"), mailbox).await, Vec::<Value>::new());
    }
    emulator.finish().await;
    emulator.run(&["delete", "--yes"]).await.expect(0);
    emulator.assert_tidy().await;
}

async fn clients_need_nothing_but_the_variables(variables: &Variables) {
    for (program, address) in [("mail.cjs", "a+b@x.test"), ("mail.sh", "swaks@x.test")] {
        let child = client(program).arg(address).envs(variables).spawn().unwrap();
        let run = finished(child).await.expect(0);
        assert_eq!(run.stdout.trim_end().lines().last(), Some("done"), "{program}: {}", run.stderr);
    }
}

async fn the_machine_has_nothing_of_other_services(emulator: &Emulator, variables: &Variables) {
    let inside = emulator.guest();
    let processes = inside.sh("pgrep --full --list-full '[s]tackd serve'").await;
    assert!(processes.trim_end().ends_with("stackd serve mail"), "{processes}");
    let schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' ORDER BY nspname";
    assert_eq!(inside.sql(schemas).await, "information_schema\nmail\npublic");
    let ports = emulator.home().manifest().stack.ports;
    assert_eq!(ports.iter().map(|port| port.name.as_str()).collect::<Vec<_>>(), ["mail", "smtp"]);
    assert!(!variables.keys().any(|name| name.starts_with("AWS_")), "{variables:?}");
}

async fn what_does_not_work_turns_the_status(emulator: &Emulator, mail: &Api) {
    let inside = emulator.guest();
    for unit in ["stack-services", "stack-postgres"] {
        inside.sh(&format!("systemctl stop {unit}")).await;
        let reasons = reasons(emulator, 1).await;
        assert!(reasons.iter().any(|reason| reason.contains("mail")), "{unit}: {reasons:?}");
        inside.sh(&format!("systemctl start {unit}")).await;
        let healthy = async || (mail.get("/_stack/health").await.status == 200).then_some(());
        wait::until(Duration::from_mins(1), healthy).await.expect("it is healthy again");
        assert_eq!(self::reasons(emulator, 0).await, Vec::<String>::new());
    }
}

/// Why the instance is not healthy, if the command ends with `code`.
async fn reasons(emulator: &Emulator, code: i32) -> Vec<String> {
    let report = emulator.run(&STATUS).await.expect(code).json();
    let reasons = report["reasons"].as_array().unwrap().iter();
    reasons.map(|reason| reason.as_str().unwrap().to_owned()).collect()
}

/// Kills QEMU while messages come, and returns the numbers of those that were acknowledged.
async fn acknowledged_when_qemu_is_killed(emulator: &Emulator, variables: &Variables) -> BTreeSet<u32> {
    let mut command = client("mail-flood.cjs");
    command.args([MAILBOXES, LINES].map(|number| number.to_string())).envs(variables);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut numbers = BTreeSet::new();
    while let Some(line) = lines.next_line().await.unwrap() {
        numbers.insert(line.parse().unwrap());
        if numbers.len() == MESSAGES {
            emulator.kill_qemu().await;
        }
    }
    let end = finished(child).await.expect(1);
    assert!(numbers.len() >= MESSAGES, "{} after {}", end.stderr, numbers.len());
    numbers
}

/// Verifies that these messages are there, and that every message is as it was sent.
async fn are_kept(mail: &Api, acknowledged: &BTreeSet<u32>) {
    let mut kept = BTreeSet::new();
    for mailbox in 0..MAILBOXES {
        for head in listed(mail, mailbox).await {
            let subject = head["subject"].as_str().unwrap();
            let path = format!("/api/v1/mailbox/flood-{mailbox}/{}", head["id"].as_str().unwrap());
            let message = mail.get(&path).await.body;
            let text = message["body"]["text"].as_str().unwrap();
            assert!(text.lines().count() == LINES && text.lines().all(|line| line == subject), "{message}");
            kept.insert(subject.parse().unwrap());
        }
    }
    let lost: Vec<&u32> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

async fn listed(mail: &Api, mailbox: usize) -> Vec<Value> {
    mail.get(&format!("/api/v1/mailbox/flood-{mailbox}")).await.body.as_array().unwrap().clone()
}

/// Builds the image of a copy of the stack beside this file into a home of its own.
async fn built() -> Emulator {
    let dir = tempfile::Builder::new().prefix("vm-test-stack-").tempdir().unwrap();
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/mail/stack/.");
    Cmd::new("cp").arg("-a").arg(stack).arg(dir.path()).output().await.unwrap();
    built_stack("letters", dir.path(), &[""; 0]).await
}

async fn start(emulator: &Emulator) -> Started {
    emulator.started(emulator.run(&START).await).await
}
