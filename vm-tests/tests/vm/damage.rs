//! What every command answers after every kind of damage: exit code, what is reported, and the way out. The whole table is the snapshot
//! next to this file, so that no line of it changes unseen.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use instances::home::HomeExt;
use instances::instance::live::Live;
use instances::instance::record;
use serde_json::Value;
use vm_tests::emulator::Emulator;
use vm_tests::ports::START;
use vm_tests::stack::sign_up;

/// The commands that people turn to when something is wrong.
fn commands() -> [&'static [&'static str]; 6] {
    [&["status"], &["logs", "qemu"], &["rotate"], &START, &["stop", "--shutdown"], &["reset", "--yes"]]
}

/// How long a process may still write to an instance whose machine was killed.
const RELEASE_LIMIT: Duration = Duration::from_secs(10);

/// A name and what is done.
type Damage = (&'static str, fn(&Emulator));

/// What can be wrong with an instance that is suspended.
const STOPPED: [Damage; 10] = [
    ("nothing", |_| ()),
    ("the record is cut", |it| cut(&it.dir().record())),
    ("the record is of a later version", |it| later(&it.dir().record())),
    ("what is known of the suspended machine is cut", |it| cut(&it.dir().suspension())),
    ("the suspended memory is cut", |it| cut(&it.dir().memory())),
    ("the state of the devices is gone", |it| gone(&it.dir().devices())),
    ("the overlay is gone", |it| gone(&it.dir().overlay())),
    ("the overlay is cut", |it| cut(&it.dir().overlay())),
    ("the image is gone", |it| gone(&it.home().home().image(it.home().arch()))),
    ("the snapshots are gone", |it| gone(&it.home().home().snapshots())),
];

/// What can be wrong with one that runs.
const RUNNING: [Damage; 3] = [
    ("the live record is cut", |it| cut(&it.dir().live())),
    ("the record of a running machine is cut", |it| cut(&it.dir().record())),
    ("the overlay of a running machine is gone", |it| gone(&it.dir().overlay())),
];

fn gone(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn cut(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn later(path: &Path) {
    let mut record: serde_json::Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    record["schemaVersion"] = 99.into();
    fs::write(path, record.to_string()).unwrap();
}

#[tokio::test]
async fn every_command_says_what_is_damaged_and_what_to_do() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, "kept@example.com").await;
    emulator.finish().await;
    let whole = emulator.home().scratch("whole");
    copy(emulator.dir().root(), &whole).await;

    let mut table = String::new();
    for (name, damage) in STOPPED {
        for command in commands() {
            put_back(&emulator, &whole).await;
            damage(&emulator);
            add(&mut table, &emulator, name, command).await;
        }
    }
    for (name, damage) in RUNNING {
        for command in commands() {
            put_back(&emulator, &whole).await;
            emulator.start(&[]).await.by("suspended");
            let process = emulator.live().and_then(|live| live.machine.process).unwrap();
            damage(&emulator);
            add(&mut table, &emulator, name, command).await;
            process.kill().await.unwrap();
        }
    }
    put_back(&emulator, &whole).await;
    let root = emulator.home().home().root().display().to_string();
    insta::with_settings!({ filters => [
        (root.as_str(), "[home]"),
        (r"`/[^ `]*stack-emulator-\d+/[0-9a-f]+", "`[sockets]"),
        (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
        (r"(process|pid) +\d+", "$1 [pid]"),
        (r"20\d\d-\d\d-\d\dT[0-9:]+Z", "[date]"),
        (r"-20\d{6}t\d{6}-[0-9a-f]{4}", "-[date]"),
        (r"\d+\.\d s\b", "[time]"),
        (r"at line \d+ column \d+", "at [position]"),
        // Where a record is cut depends on the lengths of paths in it.
        (r"EOF while parsing an? \w+", "EOF while parsing [something]"),
        (r"(accelerator +)\w.*", "$1[accelerator]"),
        (r"[0-9a-f]{12,}", "[digest]"),
    ]}, {
        insta::assert_snapshot!(table);
    });
}

/// One row: the exit code, and what is said about the damage.
async fn add(table: &mut String, emulator: &Emulator, name: &str, command: &[&str]) {
    let run = emulator.run(command).await;
    let _ = writeln!(table, "{name}: {} -> {}", command[0], run.code);
    if let Some(Value::Object(started)) = serde_json::from_str(&run.stdout).ok().filter(|_| run.code == 0) {
        let because = started.get("coldBecause").and_then(Value::as_str).unwrap_or("-");
        let _ = writeln!(table, "    {} ({because})", started["startedBy"].as_str().unwrap_or("-"));
    }
    let relevant = |line: &&str| {
        ["error:", "  cause:", "hint:", "warning:", "reason:"].iter().any(|start| line.starts_with(start))
    };
    let report = if command[0] == "status" { run.stdout.as_str() } else { "" };
    for line in report.lines().chain(run.stderr.lines().filter(relevant)) {
        let _ = writeln!(table, "    {}", line.trim());
    }
    let live = record::read::<Live>(&emulator.dir().live()).ok().flatten();
    if let Some(process) = live.and_then(|live| live.machine.process) {
        process.kill().await.unwrap();
    }
}

/// The instance as it was when nothing was damaged.
async fn put_back(emulator: &Emulator, whole: &Path) {
    let dir = emulator.dir();
    // A process that looked after the machine before may still write there.
    let root = dir.root();
    let removed = async || (fs::remove_dir_all(root).is_ok() || !root.exists()).then_some(());
    base::wait::until(RELEASE_LIMIT, removed).await.expect("nothing writes to the instance");
    copy(whole, dir.root()).await;
    emulator.home().put_back();
}

async fn copy(from: &Path, to: &Path) {
    Cmd::new("cp").args(["-a", "-T", "--sparse=always"]).arg(from).arg(to).output().await.unwrap();
}
