//! Whatever is wrong with saved memory: it is noticed and reported, and the start ends healthy with the user's data.

use std::ffi::CStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::wait;
use instances::home::HomeExt;
use serde_json::{Value, json};
use vm_tests::emulator::{Emulator, Started};
use vm_tests::ports::START;
use vm_tests::quota_disk::QuotaDisk;
use vm_tests::small_disk::SmallDisk;
use vm_tests::stack::{sign_up, users};

/// The user that must outlive every fault.
const USER: &str = "kept@example.com";

/// How long it may take until a guest has written more than there is room for, and `status` knows it.
const STANDSTILL_LIMIT: Duration = Duration::from_mins(2);

/// A name, what is done to a snapshot's directory, and what is said about it.
type Damage = (&'static str, fn(&Path), &'static str);

#[tokio::test]
async fn a_changed_snapshot_is_reported_and_captured_again() {
    let emulator = Emulator::without_snapshots();
    let captured = emulator.run(&["capture", "-o", "json"]).await.expect(0).json();
    let whole = PathBuf::from(captured["dir"].as_str().unwrap());
    let damages: [Damage; 10] = [
        ("memory", |dir| resize(&dir.join("memory"), -4096), "its file `memory` has"),
        ("devices", |dir| resize(&dir.join("devices"), -1), "its file `devices` has"),
        ("content", |dir| rewrite(&dir.join("devices")), "its file `devices` has been changed"),
        ("disk", |dir| fs::remove_file(dir.join("disk.qcow2")).unwrap(), "its file `disk.qcow2` is gone"),
        ("newer", |dir| edit(dir, |manifest| manifest["formatVersion"] = json!(99)), "its format is 99"),
        ("torn", |dir| resize(&dir.join("snapshot.json"), -100), "its manifest is not valid"),
        ("none", |dir| fs::remove_file(dir.join("snapshot.json")).unwrap(), "it is not complete"),
        ("retired", |dir| fs::write(dir.join("retired"), "it was slow\n").unwrap(), "it was slow"),
        (
            "qemu",
            |dir| edit(dir, |manifest| manifest["fingerprint"]["qemu"]["sha256"] = json!("f".repeat(64))),
            "`qemu.sha256` was ffffffffffff…",
        ),
        (
            "image",
            |dir| edit(dir, |manifest| manifest["fingerprint"]["image"] = json!("e".repeat(64))),
            "`image` was eeeeeeeeeeee…",
        ),
    ];
    for (name, damage, _) in damages {
        let copy = whole.with_file_name(format!("amd64-template-20000101t000000-{name}"));
        copy_linked(&whole, &copy);
        damage(&copy);
    }
    fs::remove_dir_all(&whole).unwrap();

    let started = emulator.start(&[]).await.by("snapshot");
    for (name, _, reason) in damages {
        let line = started.said.lines().find(|line| line.contains(&format!("-{name}`")));
        assert!(line.is_some_and(|line| line.contains(reason)), "`{name}`:\n{}", started.said);
    }
    let left = emulator.home().snapshots();
    assert!(left.len() == 1 && !left[0].starts_with("amd64-template-2000"), "{left:?}");
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_state_that_qemu_refuses_leads_to_a_boot_and_is_retired() {
    let emulator = Emulator::without_snapshots();
    let captured = emulator.run(&["capture", "-o", "json"]).await.expect(0).json();
    let dir = PathBuf::from(captured["dir"].as_str().unwrap());
    spoil_in_place(&dir.join("devices"));
    let started = emulator.start(&[]).await.by("cold");
    assert_because(&started, "migrat");
    let evidence = emulator.dir().failed_resume();
    assert!(started.said.contains(&evidence.display().to_string()), "{}", started.said);
    assert!(evidence.join("qemu.log").is_file());
    assert!(dir.join("retired").is_file(), "the next new session would try it again");
    sign_up(&started, USER).await;

    // The session's own memory, spoiled in the same way.
    emulator.finish().await;
    spoil_in_place(&emulator.dir().devices());
    let booted = emulator.start(&[]).await.by("cold");
    assert_because(&booted, "migrat");
    assert!(users(&booted).await.contains(&USER.to_owned()));
    assert_eq!(booted.secrets, started.secrets);
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn suspended_memory_that_does_not_fit_leads_to_a_boot_with_the_data() {
    let emulator = Emulator::for_amd64();
    sign_up(&emulator.start(&[]).await, USER).await;
    emulator.finish().await;
    resize(&emulator.dir().memory(), -4096);
    let booted = emulator.start(&[]).await.by("cold");
    assert_because(&booted, "its file `memory` has");
    assert!(users(&booted).await.contains(&USER.to_owned()));

    emulator.finish().await;
    let qemu = another_build(&emulator);
    let mut command = emulator.command(&[&START[..], &["--memory", "1536"]].concat());
    let child = command.env("QEMU_SYSTEM_X86_64", &qemu).spawn().unwrap();
    let booted = emulator.started(vm_tests::emulator::finished(child).await).await.by("cold");
    assert_because(&booted, "`topology.memoryMib` was 2048 and is 1536");
    assert_because(&booted, "`qemu.sha256` was");
    assert!(users(&booted).await.contains(&USER.to_owned()));
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_disk_too_full_for_a_snapshot_leads_to_a_boot_without_leftovers() {
    let emulator = Emulator::without_snapshots();
    let disk = SmallDisk::mount(&emulator.home().home().snapshots(), c"size=64m");
    let started = emulator.start(&[]).await.by("cold");
    assert_because(&started, "No space left on device");
    emulator.home().assert_nothing_half_made();
    assert_eq!(emulator.home().snapshots(), [""; 0]);
    let capture = emulator.run(&["capture"]).await.expect(1);
    assert!(capture.stderr.contains("No space left on device"), "{}", capture.stderr);
    emulator.home().assert_nothing_half_made();
    emulator.finish().await;
    drop(disk);
    emulator.assert_tidy().await;
}

/// Puts the instances on a file system of their own, with these options.
fn instances_on(emulator: &Emulator, options: &CStr) -> SmallDisk {
    let instances = emulator.home().home().instances();
    fs::create_dir(&instances).unwrap();
    SmallDisk::mount(&instances, options)
}

/// Has the guest write more than there is room for, a moment later and by a program that is not waited for: its machine is
/// going to pause.
async fn write_soon(emulator: &Emulator) {
    let writes =
        "(sleep 5; dd if=/dev/urandom of=/var/tmp/large bs=1M count=32 oflag=direct; rm /var/tmp/large)";
    emulator.guest().sh(&format!("{writes} > /dev/null 2>&1 &")).await;
}

/// Waits until `status` says `because` of what the machine is paused.
async fn stands_still(emulator: &Emulator, because: &str) {
    let reported = async || emulator.run(&["status"]).await.stdout.contains(because).then_some(());
    wait::until(STANDSTILL_LIMIT, reported).await.expect("`status` says that the machine is paused");
}

/// Lets the machine continue, and verifies that it has lost nothing and accepts more.
async fn goes_on(emulator: &Emulator) {
    let again = emulator.start(&[]).await;
    assert_eq!(again.report["alreadyRunning"], true, "{}", again.report);
    assert!(users(&again).await.contains(&USER.to_owned()));
    sign_up(&again, "later@example.com").await;
}

#[tokio::test]
async fn a_disk_too_full_to_suspend_leads_to_a_shutdown_with_the_data() {
    let emulator = Emulator::for_amd64();
    let disk = instances_on(&emulator, c"size=160m,mode=0700");
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    let stopped = emulator.stop(&[], "stopped").await;
    assert!(stopped.stderr.contains("No space left on device"), "{}", stopped.stderr);
    for file in [emulator.dir().suspension(), emulator.dir().memory(), emulator.dir().devices()] {
        assert!(!file.exists(), "{} takes room for nothing", file.display());
    }
    let again = emulator.start(&[]).await.by("cold");
    assert!(users(&again).await.contains(&USER.to_owned()));
    assert_eq!(again.secrets, started.secrets);
    emulator.stop(&["--shutdown"], "stopped").await;
    emulator.assert_tidy().await;
    drop(disk);
}

#[tokio::test]
async fn a_full_disk_pauses_the_machine_until_there_is_space() {
    let emulator = Emulator::for_amd64();
    let disk = instances_on(&emulator, c"size=160m,mode=0700");
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    write_soon(&emulator).await;
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 160 << 20]).unwrap_err();
    stands_still(&emulator, "this machine's is full").await;

    let still_full = emulator.run(&START).await.expect(1);
    assert!(still_full.stderr.contains("No space left on device"), "{}", still_full.stderr);
    assert!(still_full.stderr.contains("hint: free space"), "{}", still_full.stderr);

    fs::remove_file(filler).unwrap();
    goes_on(&emulator).await;
    let stopped = emulator.stop(&["--shutdown"], "stopped").await.json();
    assert_eq!(stopped["ending"], "powered-off");
    emulator.assert_tidy().await;
    drop(disk);
}

#[tokio::test]
async fn a_used_up_quota_pauses_the_machine_until_it_is_raised() {
    let emulator = Emulator::for_amd64();
    let mounted = emulator.home().scratch("btrfs");
    fs::create_dir(&mounted).unwrap();
    let disk = QuotaDisk::mount(&mounted, &emulator.home().scratch("btrfs.img")).await;
    fs::set_permissions(disk.path(), fs::Permissions::from_mode(0o700)).unwrap();
    std::os::unix::fs::symlink(disk.path(), emulator.home().home().instances()).unwrap();
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    disk.allow(4 << 20).await;
    write_soon(&emulator).await;
    stands_still(&emulator, "a quota is used up").await;
    let still = emulator.run(&START).await.expect(1);
    let quota = ["Disk quota exceeded", "No space left on device"];
    assert!(quota.iter().any(|reason| still.stderr.contains(reason)), "{}", still.stderr);
    assert!(still.stderr.contains("hint: free space"), "{}", still.stderr);

    disk.lift().await;
    goes_on(&emulator).await;
    emulator.finish().await;
    emulator.assert_tidy().await;
    drop(disk);
}

#[tokio::test]
async fn a_removed_disk_that_finds_no_room_is_put_back_once_there_is_some() {
    let emulator = Emulator::for_amd64();
    let disk = instances_on(&emulator, c"size=640m,mode=0700");
    let started = emulator.start(&[]).await.by("snapshot");
    sign_up(&started, USER).await;
    fs::remove_file(emulator.dir().overlay()).unwrap();
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 640 << 20]).unwrap_err();
    for args in [&["stop"][..], &["stop", "--shutdown"]] {
        let refused = emulator.run(args).await.expect(1);
        assert!(refused.stderr.contains("No space left on device"), "{}", refused.stderr);
        assert!(!emulator.dir().overlay().exists());
        assert_eq!(emulator.run(&["status", "-o", "json"]).await.json()["state"], "running");
    }

    fs::remove_file(&filler).unwrap();
    // It may have met the full disk meanwhile.
    emulator.run(&START).await.expect(0);
    sign_up(&started, "later@example.com").await;
    emulator.finish().await;
    let again = emulator.start(&[]).await.by("suspended");
    fs::remove_file(emulator.dir().overlay()).unwrap();
    let stopped = emulator.stop(&["--shutdown"], "stopped").await.json();
    assert_eq!(stopped["ending"], "terminated");
    let booted = emulator.start(&[]).await.by("cold");
    assert_eq!(booted.secrets, again.secrets);
    for user in [USER, "later@example.com"] {
        assert!(users(&booted).await.contains(&user.to_owned()), "{user} is gone");
    }
    emulator.finish().await;
    emulator.assert_tidy().await;
    drop(disk);
}

#[tokio::test]
async fn a_disk_that_is_full_when_starting_costs_a_suspended_machine_nothing() {
    let emulator = Emulator::for_amd64();
    let disk = instances_on(&emulator, c"size=512m,mode=0700");
    let started = emulator.start(&[]).await;
    sign_up(&started, USER).await;
    emulator.finish().await;

    let filler = disk.path().join("filler");
    let full = fs::write(&filler, vec![1; 512 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    let refused = emulator.run(&START).await.expect(1);
    assert!(refused.stderr.contains("No space left on device"), "{}", refused.stderr);
    assert!(emulator.dir().suspension().exists(), "{}", refused.stderr);

    // Room for the files of a start, and not for what the machine is going to write.
    let length = fs::metadata(&filler).unwrap().len();
    fs::OpenOptions::new().write(true).open(&filler).unwrap().set_len(length - (4 << 20)).unwrap();
    let refused = emulator.run(&START).await.expect(1);
    assert!(refused.stderr.contains("cannot take room in"), "{}", refused.stderr);
    assert!(emulator.dir().suspension().exists(), "{}", refused.stderr);

    fs::remove_file(filler).unwrap();
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&USER.to_owned()));
    emulator.stop(&["--shutdown"], "stopped").await;
    emulator.assert_tidy().await;
    drop(disk);
}

#[tokio::test]
async fn a_full_tmpfs_may_end_a_resuming_machine_and_costs_no_data() {
    let emulator = Emulator::for_amd64();
    let disk = instances_on(&emulator, c"size=640m,mode=0700");
    sign_up(&emulator.start(&[]).await, USER).await;
    emulator.finish().await;
    emulator.start(&[]).await.by("suspended");
    // What has never been used is a hole of the saved memory, and a tmpfs fills a hole also for a process that only reads it.
    let uses = "(sleep 2; head -c 1200M /dev/zero | tail -c 1150M) > /dev/null 2>&1 &";
    emulator.guest().sh(uses).await;
    let filler = disk.path().join("filler");
    fs::write(&filler, vec![1; 640 << 20]).unwrap_err();
    let process = emulator.live().and_then(|live| live.machine.process).expect("it runs");
    // The guest may come to write its disk first.
    let stopped = async || {
        let ended = !process.is_alive().unwrap();
        (ended || emulator.run(&["status"]).await.stdout.contains("this machine's is full")).then_some(ended)
    };
    let ended = wait::until(STANDSTILL_LIMIT, stopped).await.expect("it meets the full tmpfs");
    let status = emulator.run(&["status", "-o", "json"]).await.expect(1).json();
    assert_eq!(status["state"], if ended { "broken" } else { "running" }, "{status}");

    fs::remove_file(filler).unwrap();
    let again = emulator.start(&[]).await;
    assert_eq!(again.report["alreadyRunning"], !ended, "{}", again.report);
    assert!(users(&again).await.contains(&USER.to_owned()));
    emulator.stop(&["--shutdown"], "stopped").await;
    emulator.assert_tidy().await;
    drop(disk);
}

/// Says on stderr and in the report why it was booted.
pub(crate) fn assert_because(started: &Started, text: &str) {
    assert!(started.said.contains(text), "{}", started.said);
    let because = started.report["coldBecause"].as_str();
    assert!(because.is_some_and(|because| because.contains(text)), "{}", started.report);
}

/// A directory with the same files, not copies of them: these are known by their inodes.
fn copy_linked(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            fs::hard_link(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// Puts a file in the place of `path` whose size differs by `bytes`, the same up to there where it is small.
fn resize(path: &Path, bytes: i64) {
    let size = fs::metadata(path).unwrap().len().checked_add_signed(bytes).unwrap();
    let beginning = if size < 1 << 20 { fs::read(path).unwrap() } else { Vec::new() };
    replace(path, &beginning, size);
}

/// Puts a file of the same size and other content in its place.
fn rewrite(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.reverse();
    let size = bytes.len() as u64;
    replace(path, &bytes, size);
}

fn replace(path: &Path, bytes: &[u8], size: u64) {
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
    fs::File::options().write(true).open(path).unwrap().set_len(size).unwrap();
}

/// Overwrites a file with garbage so that neither size nor time nor inode tell.
fn spoil_in_place(path: &Path) {
    let before = fs::metadata(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(path, vec![0x5a; usize::try_from(before.len()).unwrap()]).unwrap();
    fs::File::open(path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    fs::set_permissions(path, before.permissions()).unwrap();
}

fn edit(dir: &Path, change: impl Fn(&mut Value)) {
    let path = dir.join("snapshot.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(&mut manifest);
    fs::remove_file(&path).unwrap();
    fs::write(&path, serde_json::to_vec(&manifest).unwrap()).unwrap();
}

/// The same QEMU with another digest, in a prefix of its own.
fn another_build(emulator: &Emulator) -> PathBuf {
    use std::io::Write;

    let original = fs::canonicalize(emulator.home().home().qemu_current()).unwrap();
    let prefix = emulator.home().scratch("another-build");
    fs::create_dir_all(prefix.join("bin")).unwrap();
    for entry in
        fs::read_dir(&original).unwrap().map(Result::unwrap).filter(|entry| entry.file_name() != "bin")
    {
        std::os::unix::fs::symlink(entry.path(), prefix.join(entry.file_name())).unwrap();
    }
    let program = prefix.join("bin/qemu-system-x86_64");
    fs::copy(original.join("bin/qemu-system-x86_64"), &program).unwrap();
    fs::File::options().append(true).open(&program).unwrap().write_all(b"\0").unwrap();
    program
}
