//! `emulator run`: a command beside an instance.

use std::process::Stdio;
use std::time::Duration;

use base::process::Cmd;
use instances::home::HomeExt;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::Child;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::ports::PORTS;

pub(crate) mod fresh;
mod signals;

/// A command that says that it runs, and ends with its input.
const UNTIL_EOF: [&str; 3] = ["sh", "-c", "echo runs; cat > /dev/null"];

/// The state of the instance, as `status` shows it.
async fn state(emulator: &Emulator) -> String {
    emulator.run(&["status", "-o", "json"]).await.json()["state"].as_str().unwrap().to_owned()
}

/// Starts [`UNTIL_EOF`], and returns when it runs.
async fn begun(emulator: &Emulator, flags: &[&str]) -> Child {
    let mut command = emulator.running(flags, &UNTIL_EOF);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).await.unwrap();
    if line == "runs\n" { child } else { panic!("it said `{line}`: {}", finished(child).await.stderr) }
}

/// Ends its input, and waits for its end.
async fn end(mut child: Child) {
    drop(child.stdin.take());
    finished(child).await.expect(0);
}

#[tokio::test]
async fn a_command_has_its_streams_arguments_and_exit_code() {
    let emulator = Emulator::for_amd64();
    emulator.start(&[]).await;
    assert_eq!(emulator.run_beside(&[], &["sh", "-c", "exit 7"]).await.code, 7);
    assert_eq!(emulator.run_beside(&[], &["sh", "-c", "kill -TERM $$"]).await.code, 128 + 15);
    assert_eq!(emulator.run_beside(&[], &["no-such-command"]).await.code, 127);
    assert_eq!(emulator.run_beside(&[], &["/etc/passwd"]).await.code, 126);

    let args = ["a b", "\"'\\$x", "two\nlines", "", "--flag", "-v"];
    let run = emulator.run_beside(&[], &[&["printf", "[%s]"], &args[..]].concat()).await.expect(0);
    assert_eq!(run.stdout, args.map(|arg| format!("[{arg}]")).concat());
    assert_eq!(run.stderr, "", "nothing of its own");

    let mut child = emulator.running(&[], &["tr", "a-z", "A-Z"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"through a pipe").await.unwrap();
    assert_eq!(finished(child).await.expect(0).stdout, "THROUGH A PIPE");

    // What the command gets of its surroundings is what it would get without the program.
    let wrapper = ["sh", "-c", r#"ulimit -Sn 777; exec "$@" 7< /dev/null"#, "sh"];
    let look = ["sh", "-c", "ulimit -Sn; ls /proc/self/fd"];
    let alone = Cmd::new(wrapper[0]).args(&wrapper[1..]).args(look).text().await.unwrap();
    let beside = finished(emulator.running_within(&wrapper, &[], &look).spawn().unwrap()).await.expect(0);
    assert_eq!(beside.stdout.trim_end(), alone);
    let name = emulator.run_beside(&[], &["printenv", "EMULATOR_INSTANCE"]).await.expect(0);
    assert_eq!(name.stdout, "default\n");

    let unknown = emulator.run(&["start", "--port", "nope=1"]).await.expect(2);
    assert!(unknown.stderr.contains("the image has no port `nope`: it has `"), "{}", unknown.stderr);
    let taken = format!("{}={}", PORTS[0].name, emulator.live().unwrap().stack.ports[0].host);
    let other = emulator.instance("blue").run(&["start", "--port", &taken]).await.expect(1);
    assert!(other.stderr.contains("is in use by instance `default` (QEMU, pid "), "{}", other.stderr);
    assert!(other.stderr.contains("`emulator stop"), "{}", other.stderr);
    assert!(!emulator.home().home().instances().join(".blue.lock").exists());
    assert_eq!(state(&emulator).await, "running", "what `start` has started stays");
    emulator.run(&["wait", "--timeout", "20s"]).await.expect(0);
    emulator.finish().await;
    emulator.run(&["wait"]).await.expect(3);
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_boot_is_reported_to_programs_and_a_fast_resume_is_not() {
    let emulator = Emulator::for_amd64();
    let booted = emulator.run_beside(&["--no-snapshot"], &["true"]).await.expect(0);
    assert!(booted.stderr.contains("ok Boot ("), "{}", booted.stderr);
    let resumed = emulator.run_beside(&[], &["true"]).await.expect(0);
    assert_eq!(resumed.stderr, "");
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_machine_that_dies_under_a_command_is_reported_once() {
    let emulator = Emulator::for_amd64();
    let child = begun(&emulator, &[]).await;
    emulator.kill_qemu().await;
    // It is noticed at once; the command would not end by itself.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut child = child;
    drop(child.stdin.take());
    let run = finished(child).await.expect(0);
    assert_eq!(run.stderr.matches("has ended while the command runs").count(), 1, "{}", run.stderr);
    assert!(run.stderr.contains("crashed or was killed") && run.stderr.contains("/logs`"), "{}", run.stderr);
    emulator.start(&[]).await.by("cold");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_machine_lives_until_the_last_run_has_ended() {
    last_run_ends(Emulator::for_amd64()).await;
}

/// The machine of several runs, some of which begin and end at once.
pub(crate) async fn last_run_ends(emulator: Emulator) {
    let first = begun(&emulator, &[]).await;
    let second = begun(&emulator, &[]).await;
    end(first).await;
    assert_eq!(state(&emulator).await, "running");
    end(second).await;
    assert_eq!(state(&emulator).await, "suspended");

    let (one, other) = tokio::join!(begun(&emulator, &[]), begun(&emulator, &[]));
    tokio::join!(end(one), end(other));
    assert_eq!(state(&emulator).await, "suspended", "two that begin and end at once");

    let kept = begun(&emulator, &[]).await;
    emulator.start(&[]).await;
    end(kept).await;
    assert_eq!(state(&emulator).await, "running", "it was started by hand meanwhile");
    emulator.finish().await;
    end(begun(&emulator, &["--keep"]).await).await;
    assert_eq!(state(&emulator).await, "running");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_start_that_fails_gives_125_and_the_command_never_runs() {
    let emulator = Emulator::for_amd64();
    let ran = emulator.home().scratch("ran");
    let touch = ["touch", ran.to_str().unwrap()];
    let refused = format!("{}=1", PORTS[0].name);
    let unusable = [
        &["--image", "/no/such/image"][..],
        &["--port", "no-such-port=auto"],
        &["--port", "backend=no-port"],
        &["--port", &refused, "--memory=1000000000"],
        &["--no-such-flag"],
    ];
    for flags in unusable {
        for fresh in [&["--fresh"][..], &[]] {
            let run = emulator.run_beside(&[fresh, flags].concat(), &touch).await.expect(125);
            assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
        }
    }
    assert!(!ran.exists());
    let left = std::fs::read_dir(emulator.home().home().instances())
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().contains("run-")).collect();
    assert!(left.is_empty(), "{left:?}");
    emulator.assert_tidy().await;
}
