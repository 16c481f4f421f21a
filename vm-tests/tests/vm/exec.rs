//! Commands inside the machine: as whom they run, what they read and write, and how they end.

use std::process::Stdio;
use std::time::Duration;

use base::digest::Hasher;
use base::wait;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use vm_tests::emulator::{Emulator, Run, finished};
use vm_tests::processes;
use vm_tests::terminal::InTerminal;

/// Longest wait for something to end in the machine.
const LIMIT: Duration = Duration::from_secs(30);

/// A person's pause between two signals.
const BETWEEN_SIGNALS: Duration = Duration::from_millis(400);

/// Bytes that are sent to a command.
const MUCH: usize = 100 << 20;

/// Bytes that come back: under software emulation the guest sends a packet in the time of several that it receives.
const BACK: usize = 8 << 20;

/// Bytes that are sent at a time.
const BLOCK: usize = 64 << 10;

/// Most memory in KiB that the program may have had meanwhile.
const MEMORY_KIB: u64 = 64 << 10;

#[tokio::test]
async fn commands_run_inside_the_machine_as_the_services_do() {
    commands(Emulator::for_amd64()).await;
}

/// Runs commands as root and as services, and ends the instance.
pub(crate) async fn commands(emulator: Emulator) {
    let started = emulator.start(&[]).await;
    let root = async |script: &str| emulator.inside(&[], &["sh", "-c", script]).await;
    let postgres = async |command: &[&str]| emulator.inside(&["postgres"], command).await;

    let one = postgres(&["psql", "-tAc", "select 1"]).await.expect(0);
    assert_eq!((one.stdout.as_str(), one.stderr.as_str()), ("1\n", ""));
    let database = postgres(&["psql", "-tAc", "select current_database()"]).await.expect(0);
    assert_eq!(database.stdout, "stack\n");
    assert_eq!(postgres(&["id", "-un"]).await.expect(0).stdout, "postgres\n");
    assert_eq!(
        root("id -un; pwd; tty; echo $HOME").await.expect(0).stdout,
        "root\n/root\nnot a tty\n/root\n"
    );
    // The services' own environment, with the secrets of this session.
    let variables = emulator.inside(&["cron"], &["sh", "-c", "echo $CRON_SECRET; id -un"]).await.expect(0);
    assert_eq!(variables.stdout, format!("{}\nstack\n", started.secret("cron_secret")));
    let ping = emulator.inside(&["redis"], &["redis-cli", "-s", "/run/redis/redis.sock", "ping"]).await;
    assert_eq!(ping.expect(0).stdout, "PONG\n");

    let odd = ["printf", "<%s>", "a b", "it's \"$HOME\" \\", "two\nlines", "", "é"];
    let arguments = emulator.inside(&[], &odd).await.expect(0);
    assert_eq!(arguments.stdout, "<a b><it's \"$HOME\" \\><two\nlines><><é>");
    let apart = root("echo out; echo err >&2; exit 7").await.expect(7);
    assert_eq!((apart.stdout.as_str(), apart.stderr.as_str()), ("out\n", "err\n"));
    root("kill -TERM $$").await.expect(143);

    let failed = |run: Run, code: i32, text: &str| {
        let run = run.expect(code);
        assert!(run.stdout.is_empty() && run.stderr.contains(text), "{}", run.stderr);
    };
    failed(emulator.inside(&[], &["no-such-program"]).await, 127, "cannot run `no-such-program`");
    failed(emulator.inside(&[], &["/etc/passwd"]).await, 126, "cannot run `/etc/passwd`");
    failed(emulator.inside(&["mysql"], &["true"]).await, 125, "there is no service `mysql`");

    let at_once: Vec<_> = (0..8).map(|_| emulator.inside_command(&[], &["true"]).spawn().unwrap()).collect();
    for child in at_once {
        finished(child).await.expect(0);
    }
    // The port is open only while a connection is expected.
    assert_eq!(root("ss -Hltn 'sport = :1022'").await.expect(0).stdout, "");
    emulator.finish().await;
    failed(emulator.inside(&[], &["true"]).await, 125, "is not running");
}

#[tokio::test]
async fn much_data_passes_through_a_command_as_it_was() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    let digest = fed(emulator.inside_command(&[], &["sha256sum"]), MUCH).await;
    let of_it = Hasher::default();
    let expected = blocks(MUCH).fold(of_it, |mut digest, block| {
        digest.update(&block);
        digest
    });
    assert_eq!(digest, format!("{}  -\n", expected.finish()).into_bytes());
    let back = fed(emulator.inside_command(&[], &["cat"]), BACK).await;
    assert!(back == blocks(BACK).flatten().collect::<Vec<u8>>(), "not what was sent");

    // A reader that has had enough ends the command.
    let mut child = emulator.inside_command(&[], &["yes"]).spawn().expect("the built program starts");
    child.stdout.take().unwrap().read_exact(&mut [0; 4]).await.expect("the command writes");
    finished(child).await.expect(141);
    gone(&emulator, "yes").await;
    emulator.finish().await;
}

/// So many bytes in blocks, of which no two are equal.
fn blocks(bytes: usize) -> impl Iterator<Item = Vec<u8>> {
    let block = |number: usize| {
        let words = (0..BLOCK / 8).map(move |at| (number << 32) ^ (at * 2_654_435_761));
        words.flat_map(usize::to_le_bytes).collect()
    };
    (0..bytes / BLOCK).map(block)
}

/// Feeds `bytes` bytes to a command, and returns what it has written. The program holds little of it in memory.
async fn fed(mut command: Command, bytes: usize) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).spawn().expect("the built program starts");
    let pid = child.id().expect("it runs");
    let (mut stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let feed = async move {
        for block in blocks(bytes) {
            stdin.write_all(&block).await.expect("the command reads");
        }
        assert!(processes::peak_memory_kib(pid) < MEMORY_KIB, "much of it was held in memory");
    };
    let mut written = Vec::new();
    let ((), read) = tokio::join!(feed, stdout.read_to_end(&mut written));
    read.expect("the command's output can be read");
    finished(child).await.expect(0);
    written
}

#[tokio::test]
async fn a_terminal_a_signal_and_a_lost_host_reach_the_command() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;

    let mut person = InTerminal::start(emulator.inside_command(&[], &[]), 132, 43);
    person.types("stty size; echo $TERM-$((40+2))\r");
    person.shows("43 132").await;
    person.shows("-42").await;
    person.resize(100, 30);
    person.types("stty size\r");
    person.shows("30 100").await;
    person.types("sleep 600\r");
    running(&emulator, "sleep 600").await;
    person.types("\x03");
    person.types("echo still-$((1+1)); exit 5\r");
    person.shows("still-2").await;
    assert_eq!(person.ends().await, 5);
    let mut person = InTerminal::start(emulator.inside_command(&["postgres"], &["sleep", "601"]), 80, 24);
    running(&emulator, "sleep 601").await;
    person.types("\x03");
    assert_eq!(person.ends().await, 130);

    // Without a terminal Ctrl-C is a signal, and the second one leaves a command that ignores it.
    let cases = [
        ("exec sleep 602", &[Signal::INT][..], 130),
        ("trap '' INT; exec sleep 602", &[Signal::INT; 2], 130),
        ("trap 'exit 9' TERM; sleep 602 & wait", &[Signal::TERM], 9),
    ];
    for (script, signals, code) in cases {
        let child = emulator.inside_command(&[], &["sh", "-c", script]).spawn().unwrap();
        let pid = child.id().unwrap().cast_signed();
        running(&emulator, "sleep 602").await;
        for signal in signals {
            processes::send(pid, *signal);
            // Two at once count as one.
            tokio::time::sleep(BETWEEN_SIGNALS).await;
        }
        finished(child).await.expect(code);
        gone(&emulator, "sleep 602").await;
    }

    // A program that is killed, and a machine that is suspended, have lost their commands.
    let child = emulator.inside_command(&[], &["sh", "-c", "trap '' HUP; sleep 603 & wait"]).spawn().unwrap();
    running(&emulator, "sleep 603").await;
    processes::send(child.id().unwrap().cast_signed(), Signal::KILL);
    gone(&emulator, "sleep 603").await;
    let child = emulator.inside_command(&[], &["sleep", "604"]).spawn().unwrap();
    running(&emulator, "sleep 604").await;
    emulator.finish().await;
    let left = finished(child).await.expect(125);
    assert!(left.stderr.contains("was stopped before the command ended"), "{}", left.stderr);
    emulator.start(&[]).await.by("suspended");
    emulator.inside(&[], &["true"]).await.expect(0);
    gone(&emulator, "sleep 604").await;
    emulator.finish().await;
}

/// Waits until a command with this line runs in the machine.
async fn running(emulator: &Emulator, line: &str) {
    let runs = async || finds(emulator, line).await.then_some(());
    wait::until(LIMIT, runs).await.unwrap_or_else(|_| panic!("`{line}` does not run"));
}

/// Waits until none does.
async fn gone(emulator: &Emulator, line: &str) {
    let gone = async || (!finds(emulator, line).await).then_some(());
    wait::until(LIMIT, gone).await.unwrap_or_else(|_| panic!("`{line}` still runs"));
}

async fn finds(emulator: &Emulator, line: &str) -> bool {
    emulator.inside(&[], &["pgrep", "-fx", line]).await.code == 0
}
