//! Image builds that fail: the step is named, the logs are kept, and neither an image nor a process is left.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use rustix::process::Signal;
use test_images::{Compression, Image, Layer};
use tokio::process::{Child, Command};
use vm_tests::emulator::{Run, finished};
use vm_tests::small_disk::SmallDisk;
use vm_tests::{XTASK_VARIABLE, path_from_env, processes};

/// The copy, in the directory of the build.
const STACK: &str = "stack";

/// A build into a directory of its own, from a copy of the stack that the test may spoil.
struct Build {
    dir: tempfile::TempDir,
}

impl Build {
    async fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("vm-test-build-").tempdir().unwrap();
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let stack = workspace.join("cloud-init/stacks/stack-emulator");
        Cmd::new("cp").arg("-a").arg(stack).arg(dir.path().join(STACK)).output().await.unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        Self { dir }
    }

    /// A build of a stack of one container, whose archive of an image is `archive`. `more` ends the compose file.
    fn of_compose(archive: &[u8], more: &str) -> Self {
        let dir = tempfile::Builder::new().prefix("vm-test-build-").tempdir().unwrap();
        std::fs::create_dir(dir.path().join(STACK)).unwrap();
        std::fs::create_dir(dir.path().join("out")).unwrap();
        let compose = format!(
            "services:\n  web:\n    image: web:1\n    ports: [\"8080:80\"]\n    x-emulator: {{health: /}}\n{more}"
        );
        std::fs::write(dir.path().join(STACK).join("compose.yaml"), compose).unwrap();
        std::fs::write(dir.path().join("web.tar"), archive).unwrap();
        Self { dir }
    }

    /// Asserts that the build of a stack of one container is refused.
    async fn assert_refused(&self, says: &[&str]) {
        let archive = format!("web={}", self.dir.path().join("web.tar").display());
        let run = finished(self.spawn(&self.out(), &["--image", &archive])).await;
        self.assert_failed(run, says).await;
    }

    /// Adds a step that the guest runs before all others.
    fn add_step(&self, name: &str, script: &str) {
        let steps = self.dir.path().join(STACK).join("files/usr/lib/stack/steps.d");
        std::fs::create_dir_all(&steps).unwrap();
        let path = steps.join(name);
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.dir.path().join("out")
    }

    fn spawn(&self, out: &Path, more: &[&str]) -> Child {
        #[expect(clippy::disallowed_methods, reason = "the tests check raw exit codes and signals")]
        let mut command = Command::new(path_from_env(XTASK_VARIABLE));
        command.args(["build-image", "amd64", "--force", "--stack"]).arg(self.dir.path().join(STACK));
        command.arg("--output").arg(out).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    }

    /// Asserts that the build failed, reported where its logs are, and left nothing else.
    async fn assert_failed(&self, run: Run, says: &[&str]) {
        assert_ne!(run.code, 0, "{}", run.stderr);
        for text in says {
            assert!(run.stderr.contains(text), "no `{text}` in:\n{}", run.stderr);
        }
        let names = std::fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name());
        // The lock of the place stays: removing it would let two builds hold it at once.
        let left: Vec<_> = names.filter(|name| !name.to_string_lossy().ends_with(".lock")).collect();
        assert!(left.is_empty(), "left in the output directory: {left:?}");
        self.assert_no_process().await;
    }

    async fn assert_no_process(&self) {
        let mark = self.out().display().to_string();
        let gone = async || processes_with(&mark).is_empty().then_some(());
        let outcome = wait::until(Duration::from_secs(10), gone).await;
        assert!(outcome.is_ok(), "still running: {:?}", processes_with(&mark));
    }
}

/// Command lines of QEMU processes that mention `mark`.
fn processes_with(mark: &str) -> Vec<String> {
    let mut lines = processes::command_lines();
    lines.retain(|line| line.contains("qemu-system") && line.contains(mark));
    lines
}

#[tokio::test]
async fn a_step_that_fails_is_named_with_its_last_lines() {
    let build = Build::new().await;
    build.add_step(
        "00-broken",
        "#!/bin/sh\n# title: Break\necho 'relation \"users\" is missing' >&2\nexit 3\n",
    );
    let run = finished(build.spawn(&build.out(), &[])).await;
    build.assert_failed(run, &["00-broken", "relation \"users\" is missing", "status 3", "log"]).await;
}

#[tokio::test]
async fn a_guest_that_hangs_is_ended_after_the_stall_timeout() {
    let build = Build::new().await;
    build.add_step("00-hang", "#!/bin/sh\n# title: Hang\nexec sleep infinity\n");
    let run = finished(build.spawn(&build.out(), &["--stall-timeout", "60s"])).await;
    build.assert_failed(run, &["00-hang", "log"]).await;
}

/// An archive with an image of one layer.
fn archive(layer: &Layer) -> Vec<u8> {
    let image = Image::new("web:1", "amd64").config(serde_json::json!({"Cmd": ["/bin/web"]}));
    Image::docker(&[image.layer(layer).compressed(Compression::Zstd)])
}

#[tokio::test]
async fn a_bad_container_image_ends_a_build_and_leaves_nothing() {
    let device = archive(&Layer::new().device("dev/null"));
    Build::of_compose(&device, "").assert_refused(&["web.tar`, layer 1", "device node"]).await;
    let large = archive(&Layer::new().file("zeroes", &vec![0; 130 << 20]));
    let small = "x-emulator:\n  machine: {diskGib: 1}\n";
    Build::of_compose(&large, small)
        .assert_refused(&["compose.yaml:7:22", "a disk of 1 GiB is too small"])
        .await;
    let good = archive(&Layer::new().file("bin/web", b"web"));
    let volume = "    volumes: [\"./src:/src\"]\n";
    Build::of_compose(&good, volume)
        .assert_refused(&["compose.yaml:6:", "the path \"./src\" of the host"])
        .await;
}

#[tokio::test]
async fn an_interrupted_build_leaves_no_image_and_no_process() {
    let build = Build::new().await;
    let child = build.spawn(&build.out(), &[]);
    let mark = build.out().display().to_string();
    let running = async || (!processes_with(&mark).is_empty()).then_some(());
    wait::until(Duration::from_mins(10), running).await.expect("the build reaches its virtual machine");
    processes::send(child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap(), Signal::INT);
    let run = finished(child).await;
    assert_eq!(run.code, 130, "{}", run.stderr);
    build.assert_failed(run, &["interrupted"]).await;
}

#[tokio::test]
async fn a_full_disk_ends_the_build_with_a_clear_error() {
    let build = Build::new().await;
    let disk = SmallDisk::mount(&build.out(), c"size=64m");
    let run = finished(build.spawn(disk.path(), &[])).await;
    build.assert_failed(run, &["space"]).await;
}
