//! A stack of services alone: PostgreSQL and S3, without the product.

use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use vm_tests::built_stack::built_stack;
use vm_tests::clients;
use vm_tests::emulator::{Emulator, Started, finished};

/// A start of its machine that a program reads, on a port that no other machine has.
const START: [&str; 5] = ["start", "-o", "json", "--port", "s3=auto"];

/// The program of a developer who uses S3.
const CLIENT: &str = "s3.cjs";

/// Programs that use all that their client of S3 is for, each in a bucket of its own.
const CLIENTS: [&str; 6] =
    ["s3-aws-sdk.cjs", "s3-minio.cjs", "s3_boto3.py", "s3_minio.py", "s3-rclone.sh", "s3-s3cmd.sh"];

/// Objects that are there before the machine is killed in the middle of the next one.
const ENOUGH: u32 = 60;

/// How long it may take until they are there, and until a process that was started again answers.
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn objects_outlive_whatever_happens_to_the_machine_but_a_reset() {
    let emulator = built().await;
    let client = async |action| clients::run(&emulator, &[], CLIENT, action).await;

    let first = start(&emulator).await.by("snapshot");
    let secret = first.secret("s3_secret_access_key").to_owned();
    assert_ne!(secret, emulator.placeholder("s3_secret_access_key"));
    client("put").await.expect(0);
    client("get").await.expect(0);
    nothing_but_s3_is_there(&emulator).await;

    let answered = killed_amid_puts(&emulator).await;
    start(&emulator).await.by("cold");
    client("get").await.expect(0);
    let there = number(&client("filled").await.expect(0).stdout);
    assert!(there == answered || there == answered + 1, "{there} objects, of which {answered} were answered");

    emulator.finish().await;
    start(&emulator).await.by("suspended");
    client("get").await.expect(0);

    let old = clients::variables(&emulator, &[]).await;
    emulator.run(&["rotate"]).await.expect(0);
    client("get").await.expect(0);
    let refused =
        finished(clients::client(CLIENT).arg("get").envs(&old).spawn().unwrap()).await.expect(1).stderr;
    assert!(refused.contains("\nInvalidAccessKeyId: "), "{refused}");

    emulator.finish().await;
    emulator.run(&["reset", "--yes"]).await.expect(0);
    let second = start(&emulator).await.by("snapshot");
    assert_ne!(second.secret("s3_secret_access_key"), secret);
    assert_ne!(second.secret("s3_access_key_id"), first.secret("s3_access_key_id"));
    let refused = client("get").await.expect(1).stderr;
    assert!(refused.contains("NoSuchBucket: "), "{refused}");
    gone(&emulator).await;
}

#[tokio::test]
async fn every_client_uses_objects_with_exported_variables_alone() {
    let emulator = built().await;
    start(&emulator).await;
    for client in CLIENTS {
        let bucket = client.replace(['_', '.'], "-");
        clients::run(&emulator, &[], client, &bucket).await.expect(0);
    }
    assert_eq!(emulator.guest().sh("ls /var/lib/stack-services/s3").await, "", "deleted objects leave files");
    status_follows(&emulator, "stack-services", "s3").await;
    status_follows(&emulator, "stack-postgres", "PostgreSQL").await;
    gone(&emulator).await;
}

/// Asserts that the process, the schemas and the ports of the machine are those of S3.
async fn nothing_but_s3_is_there(emulator: &Emulator) {
    let inside = emulator.guest();
    let processes = inside.sh("pgrep --full --list-full '[s]tackd serve'").await;
    assert!(processes.trim_end().ends_with("stackd serve s3"), "{processes}");
    let schemas = "SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY 1";
    assert_eq!(inside.sql(schemas).await, "public\ns3");
}

/// Kills the machine while a client puts objects, and returns how many puts were answered.
async fn killed_amid_puts(emulator: &Emulator) -> u32 {
    let kill = async {
        let inside = emulator.guest();
        let enough = async || {
            let count = inside.sql("SELECT count(*) FROM s3.object").await;
            (number(&count) >= ENOUGH).then_some(())
        };
        wait::until(LIMIT, enough).await.expect("objects arrive");
        emulator.kill_qemu().await;
    };
    let (filled, ()) = tokio::join!(clients::run(emulator, &[], CLIENT, "fill"), kill);
    number(&filled.expect(0).stdout)
}

/// Stops a unit and asserts that `status` fails and names `what`, until it runs again.
async fn status_follows(emulator: &Emulator, unit: &str, what: &str) {
    let inside = emulator.guest();
    inside.sh(&format!("systemctl stop {unit}")).await;
    let status = emulator.run(&["status"]).await.expect(1).stdout;
    assert!(status.contains(what), "{unit}: {status}");
    inside.sh(&format!("systemctl start {unit}")).await;
    let healthy = async || (emulator.run(&["status"]).await.code == 0).then_some(());
    wait::until(LIMIT, healthy).await.expect("it is healthy again");
}

fn number(text: &str) -> u32 {
    text.trim().parse().unwrap_or_else(|_| panic!("not a number: {text}"))
}

/// Builds the image of the stack beside this file into a home of its own.
async fn built() -> Emulator {
    let dir = tempfile::Builder::new().prefix("vm-test-stack-").tempdir().unwrap();
    let stack = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm/services/.");
    Cmd::new("cp").arg("-a").arg(stack).arg(dir.path()).output().await.unwrap();
    built_stack("objects", dir.path(), &[""; 0]).await
}

async fn start(emulator: &Emulator) -> Started {
    emulator.started(emulator.run(&START).await).await
}

async fn gone(emulator: &Emulator) {
    emulator.finish().await;
    emulator.run(&["delete", "--yes"]).await.expect(0);
    emulator.assert_tidy().await;
}
