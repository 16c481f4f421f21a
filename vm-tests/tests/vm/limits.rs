//! What a host may refuse: saved state is kept, and the cause is reported first.

use std::fs;
use std::time::{Duration, Instant};

use vm_tests::control_group::Group;
use vm_tests::emulator::{Emulator, Run, finished};
use vm_tests::ports::START;
use vm_tests::seccomp::deny_io_uring;
use vm_tests::stack::{sign_up, users};

/// The user that must outlive every refusal.
const USER: &str = "kept@example.com";

/// A limit on what a process may map, too small for the machine's memory.
const ADDRESS_SPACE: [&str; 4] = ["sh", "-c", "ulimit -v 2000000 && exec \"$@\"", "sh"];

/// A limit on the size of files, too small for the machine's memory.
const FILE_SIZE: [&str; 4] = ["sh", "-c", "ulimit -f 262144 && exec \"$@\"", "sh"];

/// Enough descriptors for QEMU to resume, and too few for its ports.
const DESCRIPTORS: [&str; 4] = ["sh", "-c", "ulimit -n 40 && exec \"$@\"", "sh"];

/// Less processor time than a machine needs to resume.
const PROCESSOR_TIME: [&str; 4] = ["sh", "-c", "ulimit -t 1 && exec \"$@\"", "sh"];

/// A network in which not even this machine can be reached.
const NO_LOOPBACK: [&str; 2] = ["unshare", "--net"];

/// Less memory than the machine has.
const FEW_BYTES: u64 = 260 << 20;

/// How long a refusal may take that needs no waiting.
const AT_ONCE: Duration = Duration::from_secs(15);

/// Where another process's memory may not be read, as in a container without `SYS_PTRACE`.
const NO_PTRACE: [&str; 3] = ["unshare", "--user", "--map-root-user"];

async fn run_within(emulator: &Emulator, wrapper: &[&str], args: &[&str]) -> Run {
    finished(emulator.command_within(wrapper, args).spawn().unwrap()).await
}

/// A machine that is suspended.
async fn suspended() -> Emulator {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    emulator.finish().await;
    emulator
}

/// Starts under a limit, which fails, and then without.
async fn refused(wrapper: &[&str], cause: &str) {
    let emulator = suspended().await;
    let snapshots = emulator.home().snapshots();
    let run = run_within(&emulator, wrapper, &START).await.expect(1);
    assert!(run.stderr.contains(cause), "{}", run.stderr);
    emulator.assert_tidy().await;
    assert_eq!(emulator.home().snapshots(), snapshots, "a snapshot was given up");
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_limit_on_address_space_costs_a_suspended_machine_nothing() {
    refused(&ADDRESS_SPACE, "`ulimit -v` is 1953 MiB").await;
}

#[tokio::test]
async fn a_limit_on_descriptors_is_named_and_costs_nothing() {
    refused(&DESCRIPTORS, "`ulimit -n`").await;
}

#[tokio::test]
async fn a_limit_on_processor_time_is_named_and_costs_nothing() {
    refused(&PROCESSOR_TIME, "`ulimit -t`").await;
}

#[tokio::test]
async fn a_limit_that_a_new_session_meets_costs_no_snapshot() {
    let emulator = Emulator::without_snapshots();
    emulator.run(&["capture"]).await.expect(0);
    let run = run_within(&emulator, &ADDRESS_SPACE, &START).await.expect(1);
    assert!(run.stderr.contains("Cannot allocate memory"), "{}", run.stderr);
    emulator.assert_tidy().await;
    emulator.start(&[]).await.by("snapshot");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_limit_on_the_size_of_files_is_named_and_costs_nothing() {
    refused(&FILE_SIZE, "`ulimit -f`").await;
}

#[tokio::test]
async fn where_memory_may_not_be_read_qemu_saves_it_and_it_resumes() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    for _ in 0..2 {
        run_within(&emulator, &NO_PTRACE, &["stop"]).await.expect(0);
        assert!(emulator.dir().savevm().exists(), "QEMU has not kept the memory itself");
        let again = emulator.start(&[]).await.by("suspended");
        assert!(users(&again).await.contains(&USER.to_owned()));
    }
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_network_without_loopback_is_told_at_once() {
    let emulator = Emulator::for_amd64();
    let begun = Instant::now();
    let run = run_within(&emulator, &NO_LOOPBACK, &START).await.expect(1);
    assert!(run.stderr.contains("the loopback interface is down"), "{}", run.stderr);
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_lock_and_a_directory_of_the_starters_are_not_held_by_the_machine() {
    let emulator = Emulator::for_amd64();
    let (lock, dir) = (emulator.home().scratch("lock"), emulator.home().scratch("dir"));
    let lock = lock.to_str().unwrap();
    fs::create_dir(&dir).unwrap();
    let mut command = emulator.command_within(&["flock", "--nonblock", lock], &START);
    finished(command.current_dir(&dir).spawn().unwrap()).await.expect(0);
    for process in fs::read_dir("/proc").unwrap().map(Result::unwrap) {
        if let Ok(cwd) = fs::read_link(process.path().join("cwd")) {
            assert_ne!(cwd, dir, "{:?}", fs::read_to_string(process.path().join("cmdline")));
        }
    }
    let free = base::process::Cmd::new("flock").args(["--nonblock", lock, "true"]).output().await;
    free.expect("the lock is free while the machine runs");
    emulator.finish().await;
}

#[tokio::test]
async fn a_control_group_without_enough_memory_is_named_as_the_cause() {
    let emulator = Emulator::without_snapshots();
    let group = Group::with_memory(FEW_BYTES);
    let run = run_within(&emulator, &["sh", "-c", &group.enter(), "sh"], &["capture"]).await.expect(1);
    assert!(run.stderr.contains("out of memory: the control group's limit is 260 MiB"), "{}", run.stderr);
    emulator.home().assert_nothing_half_made();
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn where_io_uring_is_forbidden_a_machine_runs_without_and_later_with_it() {
    let known = Emulator::for_amd64();
    known.start(&[]).await;
    let allowed = disk_access(&known);
    known.finish().await;
    start_without_io_uring(&known).await;
    known.finish().await;
    known.start(&[]).await.by("suspended");
    assert_eq!(disk_access(&known), allowed);
    known.finish().await;

    // What is found out where it is forbidden does not hold elsewhere.
    let new = Emulator::with_own_verdicts();
    start_without_io_uring(&new).await;
    new.finish().await;
    new.start(&[]).await.by("suspended");
    assert_eq!(disk_access(&new), allowed);
    new.finish().await;
}

/// Starts where a filter of system calls, as containers have it, forbids `io_uring`.
async fn start_without_io_uring(emulator: &Emulator) {
    let mut command = emulator.command(&START);
    deny_io_uring(&mut command);
    finished(command.spawn().unwrap()).await.expect(0);
    assert_eq!(disk_access(emulator), "threads");
}

/// How QEMU reads and writes the disk.
fn disk_access(emulator: &Emulator) -> &'static str {
    let pid = emulator.live().and_then(|live| live.machine.process).expect("it runs").pid;
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    if String::from_utf8_lossy(&arguments).contains("io_uring") { "io_uring" } else { "threads" }
}
