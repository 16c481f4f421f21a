//! Images from a GitHub on loopback, and machines on them.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fake_github::{Content, Fault, GitHub, Place, Release, Rule};
use image::arch::Arch;
use instances::home::HomeExt;
use time::OffsetDateTime;
use vm::disk::QemuImg;
use vm::machine::DiskFile;
use vm_tests::emulator::{Emulator, finished};
use vm_tests::home::TestHome;
use vm_tests::ports::START;
use vm_tests::small_disk::SmallDisk;
use vm_tests::stack::{sign_up, users};

const REPO: &str = "stack/emulator";

/// A GitHub whose newest image is this one.
fn server_with(image: &Path) -> GitHub {
    let server = GitHub::start();
    let mut world = server.world();
    let release = Release::published("emulator-dev-latest", OffsetDateTime::UNIX_EPOCH);
    let release = world.add_release(REPO, release);
    world.add_asset(REPO, release, &Arch::Amd64.image_file(), Content::file(image).unwrap());
    drop(world);
    server
}

/// The same image to a guest as that of `home`, and another file to us.
fn another_image(home: &TestHome) -> PathBuf {
    let new = home.scratch("new.qcow2");
    fs::copy(home.home().image(Arch::Amd64), &new).unwrap();
    fs::File::options().append(true).open(&new).unwrap().write_all(&[0; 4096]).unwrap();
    new
}

#[tokio::test]
async fn a_start_in_an_empty_home_pulls_and_captures_and_then_works_offline() {
    let home = TestHome::new(Arch::Amd64);
    let image = fs::canonicalize(home.home().image(Arch::Amd64)).unwrap();
    let emulator = Emulator::new(home.without_image());
    let server = server_with(&image);
    let api = server.api_url();
    let start = || {
        let mut command = emulator.command(&START);
        command.env("GITHUB_API_URL", &api).env("EMULATOR_REPO", REPO);
        command.spawn().unwrap()
    };
    let started = finished(start()).await.expect(0);
    assert_eq!(started.json()["startedBy"], "snapshot");
    assert!(started.stderr.contains("pulling release `emulator-dev-latest`"), "{}", started.stderr);
    assert_eq!(emulator.home().snapshots().len(), 1);
    emulator.stop(&[], "suspended").await;

    drop(server);
    assert_eq!(finished(start()).await.expect(0).json()["startedBy"], "suspended");
    emulator.run(&["reset", "--yes"]).await.expect(0);
    assert_eq!(finished(start()).await.expect(0).json()["startedBy"], "snapshot");
    emulator.finish().await;
}

#[tokio::test]
async fn a_pull_leaves_running_and_suspended_sessions_on_their_image() {
    let emulator = Emulator::for_amd64();
    let started = emulator.start(&[]).await;
    sign_up(&started, "kept@example.com").await;

    let new = another_image(emulator.home());
    let pull = ["pull", "--skip-snapshot", "--file", new.to_str().unwrap()];
    emulator.run(&pull).await.expect(0);
    emulator.run(&["status"]).await.expect(0);
    assert!(users(&started).await.contains(&"kept@example.com".to_owned()));

    emulator.stop(&[], "suspended").await;
    let again = emulator.start(&[]).await.by("suspended");
    assert!(users(&again).await.contains(&"kept@example.com".to_owned()));
    emulator.stop(&["--shutdown"], "stopped").await;
    let booted = emulator.start(&[]).await.by("cold");
    assert!(users(&booted).await.contains(&"kept@example.com".to_owned()));
    emulator.finish().await;
}

#[tokio::test]
async fn after_pulls_that_failed_the_old_image_starts() {
    let emulator = Emulator::for_amd64();
    let old = fs::canonicalize(emulator.home().home().image(Arch::Amd64)).unwrap();
    let new = another_image(emulator.home());
    let length = fs::metadata(&new).unwrap().len();
    let server = server_with(&new);
    let faults = [
        (Fault::CutAt(length / 2), 1),
        (Fault::WrongByte(length - 1), 7),
        (Fault::TruncateTo(length / 2), 7),
        (Fault::Expired, 1),
    ];
    for (fault, code) in faults {
        server.rule(Rule::new(Place::Storage, fault));
        let mut pull = emulator.command(&["pull"]);
        pull.env("GITHUB_API_URL", server.api_url()).env("EMULATOR_REPO", REPO);
        finished(pull.spawn().unwrap()).await.expect(code);
        server.clear_rules();
    }
    let truncated = emulator.home().scratch("truncated.qcow2");
    fs::copy(&old, &truncated).unwrap();
    fs::File::options().write(true).open(&truncated).unwrap().set_len(length * 99 / 100).unwrap();
    let run = emulator.run(&["pull", "--file", truncated.to_str().unwrap()]).await.expect(7);
    assert!(run.stderr.contains("is damaged"), "{}", run.stderr);
    assert_eq!(fs::canonicalize(emulator.home().home().image(Arch::Amd64)).unwrap(), old);
    emulator.start(&[]).await.by("snapshot");
    emulator.finish().await;
}

#[tokio::test]
async fn a_pull_leaves_a_snapshot_for_the_first_start() {
    let home = TestHome::new(Arch::Amd64);
    let image = fs::canonicalize(home.home().image(Arch::Amd64)).unwrap();
    let emulator = Emulator::new(home.without_image());
    let pulled = emulator.run(&["pull", "-o", "json", "--file", image.to_str().unwrap()]).await.expect(0);
    let snapshot = pulled.json()["snapshot"].as_str().unwrap().to_owned();
    assert_eq!(emulator.home().snapshots(), [snapshot]);
    emulator.start(&[]).await.by("snapshot");
    emulator.finish().await;
}

#[tokio::test]
async fn an_image_that_leads_to_another_file_is_refused() {
    let home = TestHome::new(Arch::Amd64);
    let img = QemuImg::new(home.tool("qemu-img"));
    let (secret, overlay) = (home.scratch("secret"), home.scratch("overlay.qcow2"));
    fs::write(&secret, [7; 4096]).unwrap();
    img.create_overlay(&DiskFile::raw(&secret), &overlay).await.unwrap();
    let emulator = Emulator::new(home);
    let run = emulator.run(&["pull", "--file", overlay.to_str().unwrap()]).await.expect(7);
    assert!(
        run.stderr.contains(&format!("a part of it is the file `{}`", secret.display())),
        "{}",
        run.stderr
    );
}

#[tokio::test]
async fn a_disk_without_room_for_an_image_is_told_before_anything_is_copied() {
    let home = TestHome::new(Arch::Amd64);
    let image = fs::canonicalize(home.home().image(Arch::Amd64)).unwrap();
    let emulator = Emulator::new(home.without_image());
    fs::create_dir(emulator.home().home().downloads()).unwrap();
    let disk = SmallDisk::mount(&emulator.home().home().downloads(), c"size=32m,mode=0700");
    let run = emulator.run(&["pull", "--file", image.to_str().unwrap()]).await.expect(1);
    assert!(run.stderr.contains("of free space, but the image needs"), "{}", run.stderr);
    assert!(run.stderr.contains("hint: free some space in `"), "{}", run.stderr);
    let parts = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(parts.filter(|name| name.to_string_lossy().contains(".part")).count(), 0);
}
