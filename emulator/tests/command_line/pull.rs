//! Pulling images with the built program, from a GitHub on loopback. Small disks with a partition table and a manifest stand in
//! for images, and a script for `qemu-img`; no virtual machine runs here.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write as _};
use std::path::Path;
use std::time::Duration;

use fake_github::{Content, Fault, GitHub, Place, PullRequest, Release, Rule, Run};
use host::digest;
use release::arch::Arch;
use release::manifest::{
    Boot, Build, Debian, FORMAT_VERSION, MINIMUM_QEMU, Manifest, PATH_IN_ESP, RESUME_PROTOCOL,
};
use release::stack::Stack;
use time::OffsetDateTime;
use vm::volume::{ESP_MINIMUM, Volume};
use zip::write::{SimpleFileOptions, ZipWriter};

use super::harness::Emulator;

pub(crate) const REPO: &str = "stack/emulator";
pub(crate) const FILE: &str = "stack-emulator-amd64.qcow2";
pub(crate) const IMAGE: &str = "images/stack-emulator-amd64.qcow2";
const PART: &str = "downloads/stack-emulator-amd64.qcow2.part";

/// A disk with what is read out of an image, told from others by its kernel.
fn image(arch: Arch, kernel: &str) -> Vec<u8> {
    image_of(&manifest(arch), kernel)
}

/// The same with this manifest.
pub(crate) fn image_of(manifest: &Manifest, kernel: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("disk");
    fs::File::create(&path).unwrap().set_len(ESP_MINIMUM + (4 << 20)).unwrap();
    let mut disk = gpt::GptConfig::new().writable(true).create(&path).unwrap();
    disk.add_partition("esp", ESP_MINIMUM, gpt::partition_types::EFI, 0, Some(2048)).unwrap();
    let sector = *disk.logical_block_size();
    let esp = disk.partitions()[&1].clone();
    disk.write().unwrap();
    let (start, length) = (esp.bytes_start(sector).unwrap(), esp.bytes_len(sector).unwrap());
    Volume::new("ESP")
        .unwrap()
        .file(PATH_IN_ESP, manifest.to_json())
        .file("emulator/vmlinuz", kernel)
        .file("emulator/initrd.fast", "initrd")
        .write_esp(&path, start, length)
        .unwrap();
    fs::read(path).unwrap()
}

pub(crate) fn manifest(arch: Arch) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        arch,
        build: Build { git_sha: "cafe".into(), time: "2026-01-01T00:00:00Z".into() },
        debian: Debian { version: "13.2".into(), packages: BTreeMap::new() },
        boot: Boot {
            kernel: "emulator/vmlinuz".into(),
            initrd: "emulator/initrd.fast".into(),
            cmdline: "quiet".into(),
        },
        stack: Stack::parse(include_str!("../../../cloud-init/stack.toml")).unwrap(),
        resume_protocol: RESUME_PROTOCOL,
        minimum_qemu: MINIMUM_QEMU.into(),
        inputs: BTreeMap::new(),
    }
}

fn zipped(name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

/// The program, and a GitHub that it talks to.
struct It {
    emulator: Emulator,
    server: GitHub,
}

impl It {
    fn new() -> Self {
        let server = GitHub::start();
        server.world().tokens.insert("good".to_owned());
        server.world().repo(REPO);
        let emulator = Emulator::new()
            .with("GITHUB_API_URL", &server.api_url())
            .with("EMULATOR_REPO", REPO)
            .with("EMULATOR_ARCH", "amd64")
            .with("QEMU_IMG", concat!(env!("CARGO_MANIFEST_DIR"), "/../vm/fixtures/qemu-img"));
        Self { emulator, server }
    }

    /// With a token that the server knows.
    fn signed_in() -> Self {
        let Self { emulator, server } = Self::new();
        Self { emulator: emulator.with("GITHUB_TOKEN", "good"), server }
    }

    /// Publishes `bytes` as the newest image of `dev`, in place of the last one.
    fn publish(&self, bytes: Vec<u8>) {
        let mut world = self.server.world();
        world.repo(REPO).releases.clear();
        let release = Release::published("emulator-dev-latest", OffsetDateTime::UNIX_EPOCH);
        let release = world.add_release(REPO, release);
        world.add_asset(REPO, release, FILE, Content::from(bytes));
    }

    /// A successful run for pull request 7 of `from`, whose artifact is `bytes`.
    fn build(&self, from: &str, bytes: Vec<u8>) -> u64 {
        let mut world = self.server.world();
        world.repo(REPO).pulls.insert(7, PullRequest::open(from, "dev", "cafe"));
        let run = world.add_run(REPO, Run::succeeded(from, "dev", "cafe"));
        world.add_artifact(REPO, run, "qemu-emulator-amd64", Content::from(bytes));
        run
    }

    fn pull(&self, args: &[&str]) -> String {
        let shown = self.emulator.run(&[&["pull", "--skip-snapshot"], args].concat());
        let shown = shown.replace(&self.server.api_url(), "[api]").replace(&self.server.web_url(), "[web]");
        for request in self.server.take_requests() {
            assert!(request.place == Place::Api || request.authorization.is_none(), "{request:?}");
        }
        shown
    }

    /// The pull succeeds, and the image is `bytes`.
    fn gets(&self, bytes: &[u8], args: &[&str]) {
        let shown = self.pull(args);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
        self.has(bytes);
        assert!(!self.emulator.path(PART).exists());
    }

    /// The pull fails with this code, and the image is what it was.
    fn refuses(&self, exit: i32, old: Option<&[u8]>, args: &[&str]) -> String {
        let shown = self.pull(args);
        assert!(shown.starts_with(&format!("exit {exit}\n")), "{shown}");
        match old {
            Some(old) => self.has(old),
            None => assert!(!self.emulator.path(IMAGE).exists()),
        }
        shown
    }

    fn has(&self, bytes: &[u8]) {
        let found = fs::read(self.emulator.path(IMAGE)).unwrap();
        assert!(found == bytes, "{} bytes, {} expected", found.len(), bytes.len());
    }

    /// An instance with data on the image that is there.
    fn with_data(&self, name: &str) {
        let image = self.emulator.path(IMAGE);
        let record = serde_json::json!({
            "schemaVersion": 1,
            "name": name,
            "createdAt": "2026-01-01T00:00:00Z",
            "ports": {},
            "session": {
                "image": {
                    "path": image,
                    "sha256": digest::of_file(&image).unwrap(),
                    "size": image.metadata().unwrap().len(),
                },
                "createdAt": "2026-01-01T00:00:00Z",
            },
        });
        self.emulator.write(&format!("instances/{name}/instance.json"), &record.to_string());
        self.emulator.write(&format!("instances/{name}/overlay.qcow2"), "data");
    }
}

fn of(arch: Arch) -> Vec<u8> {
    image(arch, "kernel")
}

#[test]
fn the_newest_release_is_pulled_and_a_second_pull_does_nothing_and_says_so() {
    let it = It::new();
    let bytes = of(Arch::Amd64);
    it.publish(bytes.clone());
    insta::assert_snapshot!(it.pull(&[]), @r"
    exit 0
    --- stdout
    the image for amd64 is release `emulator-dev-latest` of `stack/emulator`; it is in `[root]/home/images/stack-emulator-amd64.qcow2`
    --- stderr
    pulling release `emulator-dev-latest` of `stack/emulator`
    ok Downloading stack-emulator-amd64.qcow2 ([time])
    ok Look into the image ([time])
    ");
    it.has(&bytes);
    insta::assert_snapshot!(it.pull(&[]), @r"
    exit 0
    --- stdout
    the image for amd64 is up to date: it is release `emulator-dev-latest` of `stack/emulator`, in `[root]/home/images/stack-emulator-amd64.qcow2`
    --- stderr
    ");
    let bodies = |it: &It| {
        it.emulator.run(&["pull", "--skip-snapshot"]);
        let requests = it.server.take_requests();
        requests.iter().filter(|request| request.place == Place::Storage).count()
    };
    assert_eq!(bodies(&it), 0);
    it.pull(&["--force"]);
    it.has(&bytes);
}

#[test]
fn a_pull_request_a_run_and_a_file_are_pulled_and_known_again() {
    let it = It::signed_in();
    let bytes = of(Arch::Amd64);
    let run = it.build(REPO, zipped(FILE, &bytes)).to_string();
    it.gets(&bytes, &["--pr", "7"]);
    for again in [["--pr", "7"], ["--run", &run]] {
        let shown = it.pull(&again);
        assert!(shown.contains("the image for amd64 is up to date"), "{shown}");
    }
    let other = image(Arch::Amd64, "other");
    let file = it.emulator.path("file");
    fs::write(&file, &other).unwrap();
    let file = file.to_str().unwrap();
    it.gets(&other, &["--file", file]);
    let shown = it.pull(&["--file", file]);
    assert!(shown.contains("the image for amd64 is up to date"), "{shown}");
    it.gets(&bytes, &["--run", &run]);
}

#[test]
fn code_of_a_fork_needs_a_yes() {
    let it = It::signed_in();
    let bytes = of(Arch::Amd64);
    it.build("mallory/emulator", zipped(FILE, &bytes));
    insta::assert_snapshot!(it.refuses(2, None, &["--pr", "7"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: pull request #7 at cafe, run 1 of `stack/emulator` is code of `mallory/emulator` at cafe, which is not `stack/emulator`

    hint: look at the code first; if you trust it, say so with `--allow-fork`
    ");
    it.gets(&bytes, &["--pr", "7", "--allow-fork"]);
}

#[test]
fn whatever_goes_wrong_the_old_image_stays() {
    let it = It::new();
    let old = of(Arch::Amd64);
    it.publish(old.clone());
    it.gets(&old, &[]);
    let new = image(Arch::Amd64, "new");
    let half = new.len() as u64 / 2;
    it.publish(new.clone());
    let storage = |fault| Rule::new(Place::Storage, fault);
    let faults = [
        (1, storage(Fault::CutAt(half))),
        (7, storage(Fault::WrongByte(half))),
        (7, storage(Fault::TruncateTo(half))),
        (1, storage(Fault::Expired)),
        (1, storage(Fault::Status(500))),
        (1, Rule::new(Place::Web, Fault::Status(404))),
        (4, Rule::new(Place::Api, Fault::Status(403))),
        (4, Rule::new(Place::Web, limit(429))),
    ];
    for (exit, rule) in faults {
        it.server.rule(rule);
        it.refuses(exit, Some(&old), &[]);
        it.server.clear_rules();
    }
    it.gets(&new, &[]);
}

fn limit(status: u16) -> Fault {
    Fault::RateLimit { status, reset_in: Duration::from_hours(1), retry_after: false }
}

#[test]
fn what_is_no_image_for_this_machine_is_refused_and_not_kept() {
    let it = It::signed_in();
    it.publish(of(Arch::Arm64));
    let shown = it.refuses(7, None, &[]);
    assert!(
        shown.contains(
            "error: what came from release `emulator-dev-latest` of `stack/emulator` is no image for amd64"
        ),
        "{shown}"
    );
    it.publish(vec![0; 1 << 20]);
    it.refuses(7, None, &[]);
    it.build(REPO, zipped("stack-emulator-arm64.qcow2", b"arm"));
    let shown = it.refuses(7, None, &["--pr", "7"]);
    assert!(
        shown.contains("it holds no `stack-emulator-amd64.qcow2`, only `stack-emulator-arm64.qcow2`"),
        "{shown}"
    );
    it.build(REPO, zipped(&format!("../{FILE}"), b"evil"));
    it.refuses(7, None, &["--pr", "7"]);
    assert!(!it.emulator.path(PART).exists());
}

#[test]
fn an_interrupted_pull_goes_on_where_it_stopped() {
    let it = It::new();
    let bytes = of(Arch::Amd64);
    it.publish(bytes.clone());
    for percent in [1, 50, 99] {
        let cut = bytes.len() as u64 * percent / 100;
        it.server.rule(Rule::new(Place::Storage, Fault::CutAt(cut)));
        it.refuses(1, None, &[]);
        assert_eq!(fs::metadata(it.emulator.path(PART)).unwrap().len(), cut);
        it.server.clear_rules();
    }
    it.gets(&bytes, &[]);
}

#[test]
fn what_cannot_be_written_is_told_and_gone_on_with_when_there_is_room() {
    let it = It::new();
    let bytes = of(Arch::Amd64);
    it.publish(bytes.clone());
    let shown = it.emulator.run_with_short_files(8, &["pull", "--skip-snapshot"]);
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert!(shown.contains(&format!("cause: cannot write `[root]/home/{PART}`")), "{shown}");
    assert_eq!(fs::metadata(it.emulator.path(PART)).unwrap().len(), 8 << 20);
    it.gets(&bytes, &[]);
}

#[test]
fn a_part_of_an_image_is_never_taken_for_one() {
    let it = It::new();
    it.publish(of(Arch::Amd64));
    it.server.rule(Rule::new(Place::Storage, Fault::CutAt(1 << 20)));
    it.refuses(1, None, &[]);
    let shown = it.emulator.run(&["images"]);
    assert!(shown.contains("there is no image"), "{shown}");
    let shown = it.emulator.run(&["start", "--offline"]);
    assert!(shown.contains("there is no image for amd64, and with `--offline` none is pulled"), "{shown}");
}

#[test]
fn refusals_have_their_own_codes_and_hints() {
    let it = It::new();
    it.server.world().anonymous_left = Some(0);
    insta::assert_snapshot!(it.refuses(4, None, &["--run", "1"])
        .split(" until ").next().unwrap(), @r"
    exit 4
    --- stdout

    --- stderr
    error: `[api]/repos/stack/emulator/actions/runs/1` answered 403 Forbidden: the limit of requests without a token is used up
    ");
    it.server.world().anonymous_left = None;
    insta::assert_snapshot!(it.refuses(1, None, &["--tag", "v9"]), @r"
    exit 1
    --- stdout

    --- stderr
    error: `stack/emulator` has no release `v9`

    hint: see what there is with `emulator list-releases --repo stack/emulator`; a private repository needs `GITHUB_TOKEN`
    ");
    let run = it.build(REPO, zipped(FILE, b"")).to_string();
    insta::assert_snapshot!(it.refuses(4, None, &["--run", &run]), @r"
    exit 4
    --- stdout

    --- stderr
    error: artifacts of workflow runs can only be downloaded with a token

    hint: set `GITHUB_TOKEN`, or sign in with `gh auth login`
    ");
    let bad = It { emulator: it.emulator.with("GH_TOKEN", "bad"), server: it.server };
    insta::assert_snapshot!(bad.refuses(4, None, &[]), @r"
    exit 4
    --- stdout

    --- stderr
    error: `[api]/repos/stack/emulator/releases/tags/emulator-dev-latest` answered 401: the token of `GH_TOKEN` is not valid

    hint: set `GH_TOKEN` to a valid token, or unset it
    ");
}

#[test]
fn a_release_comes_also_when_the_limit_of_the_api_is_used_up() {
    let it = It::new();
    let bytes = of(Arch::Amd64);
    it.publish(bytes.clone());
    it.server.world().anonymous_left = Some(0);
    it.gets(&bytes, &[]);
}

#[test]
fn without_a_network_it_is_told_what_to_look_at() {
    let It { emulator, server } = It::new();
    drop(server);
    let shown = emulator.run(&["pull"]);
    assert!(shown.starts_with("exit 1\n"), "{shown}");
    assert!(shown.contains("error: cannot reach `http://127.0.0.1:"), "{shown}");
    assert!(shown.contains("hint: check the network"), "{shown}");
}

#[test]
fn two_pulls_at_once_make_one_download() {
    let it = It::new();
    let bytes = of(Arch::Amd64);
    it.publish(bytes.clone());
    // Slow enough for the second to find the first at work.
    it.server.rule(Rule::new(Place::Web, Fault::Delay(Duration::from_secs(1))));
    let pulls = [(); 2].map(|()| it.emulator.start(&["pull", "--skip-snapshot"]));
    let outputs = pulls.map(|pull| pull.wait_with_output().unwrap());
    let said = |text: &str| {
        outputs
            .iter()
            .filter(|output| {
                output.status.success() && String::from_utf8_lossy(&output.stdout).contains(text)
            })
            .count()
    };
    assert_eq!((said("is up to date"), said("it is in")), (1, 1), "{outputs:?}");
    it.has(&bytes);
    let downloads = it.server.take_requests().into_iter().filter(|request| request.place == Place::Web);
    assert_eq!(downloads.count(), 1);
}

#[test]
fn an_instance_with_data_keeps_its_image_until_it_is_reset() {
    let it = It::new();
    let old = of(Arch::Amd64);
    it.publish(old.clone());
    it.gets(&old, &[]);
    it.with_data("feature");
    let new = image(Arch::Amd64, "new");
    it.publish(new.clone());
    it.gets(&new, &[]);
    let shown = it.emulator.run(&["status", "--instance", "feature"]);
    assert!(shown.contains("state     stopped"), "{shown}");
    let kept =
        it.emulator.path(&format!("images/stack-emulator-amd64-{}.qcow2", &digest::of_bytes(&old)[..16]));
    assert!(fs::read(&kept).unwrap() == old);
    let named = |shown: String| {
        let name = |shown: String, bytes: &[u8], name: &str| {
            let sha256 = digest::of_bytes(bytes);
            shown.replace(&sha256[..16], name).replace(&sha256[..12], name)
        };
        name(name(shown, &old, "[old]"), &new, "[new]")
    };
    insta::assert_snapshot!(named(it.emulator.run(&["images"])), @r"
    exit 0
    --- stdout
    ARCH   STATE     SIZE    BUILT                 SHA-256       INSTANCES
    amd64  current   37 MiB  2026-01-01T00:00:00Z  [new]  -
    amd64  replaced  37 MiB  2026-01-01T00:00:00Z  [old]  feature
    --- stderr
    ");
    insta::assert_snapshot!(it.emulator.run(&["prune"]), @r"
    exit 0
    --- stdout
    there is nothing to remove
    --- stderr
    ");
    assert!(kept.exists());

    let shown = it.emulator.run(&["reset", "--yes", "--instance", "feature"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    insta::assert_snapshot!(named(it.emulator.run(&["prune", "--dry-run"])), @r"
    exit 0
    --- stdout
    KIND   SIZE    PATH
    image  37 MiB  [root]/home/images/stack-emulator-amd64-[old].qcow2
    37 MiB would be free
    --- stderr
    ");
    assert!(kept.exists());
    it.emulator.run(&["prune"]);
    assert!(!kept.exists());
    it.has(&new);
}

#[test]
fn an_image_without_data_on_it_is_replaced() {
    let it = It::new();
    for kernel in ["old", "new"] {
        let bytes = image(Arch::Amd64, kernel);
        it.publish(bytes.clone());
        it.gets(&bytes, &[]);
    }
    let qcow2 = |path: &Path| path.extension().is_some_and(|extension| extension == "qcow2");
    let images = fs::read_dir(it.emulator.path("images")).unwrap();
    assert_eq!(images.filter(|entry| qcow2(&entry.as_ref().unwrap().path())).count(), 1);
}

#[test]
fn releases_are_listed() {
    let it = It::new();
    insta::assert_snapshot!(it.emulator.run(&["list-releases"]), @r"
    exit 0
    --- stdout
    `stack/emulator` has no release with an image
    --- stderr
    ");
    it.publish(vec![7; 3 << 20]);
    insta::assert_snapshot!(it.emulator.run(&["list-releases"]), @r"
    exit 0
    --- stdout
    TAG                  PUBLISHED             IMAGES
    emulator-dev-latest  1970-01-01T00:00:00Z  amd64 (3 MiB)
    --- stderr
    ");
    let shown = it.emulator.run(&["list-releases", "--branch", "main", "-o", "json"]);
    insta::assert_snapshot!(shown, @r#"
    exit 0
    --- stdout
    {
      "schemaVersion": 1,
      "repo": "stack/emulator",
      "releases": []
    }
    --- stderr
    "#);
}

#[test]
fn a_repository_has_to_be_named() {
    insta::assert_snapshot!(Emulator::new().run(&["list-releases"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: it is not known which repository to pull from

    hint: name it with `--repo OWNER/NAME`, or set `EMULATOR_REPO`
    ");
    insta::assert_snapshot!(Emulator::new().run(&["pull", "--repo", "https://github.com/a/b"]), @r"
    exit 2
    --- stdout

    --- stderr
    error: invalid value 'https://github.com/a/b' for '--repo <OWNER/NAME>': `https://github.com/a/b` is no repository: write `owner/name`

    For more information, try '--help'.
    ");
}
