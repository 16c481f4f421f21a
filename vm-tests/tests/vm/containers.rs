//! Containers in one machine: how they find each other, in which order they start, what happens when one ends, and what stays of what
//! they have written. `containers/` has the compose file and the programs of the image, which has nothing else but `BusyBox`.

use std::fs;
use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use test_images::{Attributes, Image, Layer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vm_tests::built_stack::{built_stack, failed_build};
use vm_tests::emulator::{Emulator, Started};

/// The files beside this one.
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vm/containers");

/// Programs of `BusyBox` that the containers use.
const APPLETS: [&str; 11] =
    ["cat", "hostname", "httpd", "mkfifo", "rm", "sh", "sleep", "sync", "test", "touch", "wget"];

/// A container that systemd takes for started, and that ends again and again.
const CRASHING: &str = r#"
services:
  web:
    image: shell:1
    command: [sh, -c, "echo no database; exit 7"]
    ports: ["8080:8080"]
    restart: always
    x-emulator: {health: /}
x-emulator:
  name: crashing
  machine: {memoryMib: 1024, cpus: 2, diskGib: 16}
"#;

/// A report that a program reads.
const STATUS: [&str; 3] = ["status", "-o", "json"];

/// Longest wait for a container that was ended to be as its policy says.
const SETTLED: Duration = Duration::from_mins(1);

#[tokio::test]
async fn containers_call_each_other_restart_and_keep_what_they_write() {
    let (_images, image) = stored_shell().await;
    let emulator = built_stack("shell", &Path::new(SOURCE).join("compose.yaml"), &[image]).await;

    let booted = start(&emulator, &["--no-snapshot"]).await.by("cold");
    what_needs_a_healthy_container_starts_after_it(&emulator).await;
    containers_with_the_same_port_call_each_other_by_name(&booted).await;
    a_command_that_cannot_be_executed_ends_as_with_env(&emulator).await;
    let write = "echo kept >/data/kept && echo kept >/kept && sync";
    inside(&emulator, "web", write).await;
    emulator.finish().await;
    start(&emulator, &[]).await.by("suspended");
    what_was_written_is_there(&emulator).await;

    a_container_that_ends_is_restarted_as_its_policy_says(&emulator).await;
    inside(&emulator, "web", "rm /data/limited && sync").await;
    emulator.kill_qemu().await;
    // It is healthy again in all its parts.
    start(&emulator, &[]).await.by("cold");
    what_was_written_is_there(&emulator).await;
    what_needs_a_healthy_container_starts_after_it(&emulator).await;
    emulator.finish().await;
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn a_container_that_ends_again_and_again_ends_the_build() {
    let (_images, image) = stored_shell().await;
    let dir = tempfile::Builder::new().prefix("vm-test-stack-").tempdir().unwrap();
    fs::write(dir.path().join("compose.yaml"), CRASHING).unwrap();
    let said = failed_build("crashing", dir.path(), &[image]).await;
    for part in [
        "step `70-services` exited with status 1",
        "`web` does not work: its program exited with status 7 (ended ",
        "no database",
        "hint: the logs of all services are in `",
    ] {
        assert!(said.contains(part), "{part} is not in:\n{said}");
    }
}

/// The image of [`shell`] in a directory, and the value of `--image` for it.
async fn stored_shell() -> (TempDir, String) {
    let images = tempfile::Builder::new().prefix("vm-test-image-").tempdir().unwrap();
    shell().await.write_layout(images.path()).unwrap();
    // `skopeo` copies it from there.
    let image = format!("shell:1=oci:{}:shell:1", images.path().display());
    (images, image)
}

/// An image with `BusyBox` and the programs of this test.
async fn shell() -> Image {
    let program = Cmd::new("sh").args(["-c", "command -v busybox"]).text().await;
    let program = program.expect("there is BusyBox: run `cargo xtask setup --for vm-test`");
    let executable = Attributes::mode(0o755);
    let mut layer = Layer::new().directory("bin");
    layer = layer.file_with("bin/busybox", &fs::read(program.trim()).unwrap(), &executable);
    for applet in APPLETS {
        layer = layer.symlink(&format!("bin/{applet}"), "busybox");
    }
    for own in ["bin/serve", "bin/store", "bin/wait-for-end", "www/cgi-bin/peer"] {
        layer = layer.file_with(own, &fs::read(Path::new(SOURCE).join(own)).unwrap(), &executable);
    }
    // A program that is linked statically looks nowhere else for names.
    layer = layer.file("etc/nsswitch.conf", b"hosts: files\n");
    Image::new("shell:1", "amd64").layer(&layer).config(json!({"Env": ["PATH=/bin"]}))
}

async fn start(emulator: &Emulator, more: &[&str]) -> Started {
    let args = ["start", "-o", "json", "--port", "backend=auto", "--port", "api=auto"];
    emulator.started(emulator.run(&[&args[..], more].concat()).await).await
}

/// Runs a script in a container, and gives what it prints.
async fn inside(emulator: &Emulator, container: &str, script: &str) -> String {
    emulator.inside(&[container], &["sh", "-c", script]).await.expect(0).stdout
}

async fn a_command_that_cannot_be_executed_ends_as_with_env(emulator: &Emulator) {
    for (program, code, reason) in [
        ("nosuch", 127, "cannot run `nosuch`: No such file or directory"),
        ("/etc/nsswitch.conf", 126, "cannot run `/etc/nsswitch.conf`: Permission denied"),
    ] {
        let refused = emulator.inside(&["web"], &[program]).await.expect(code);
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    }
    emulator.inside(&["web"], &["sh", "-c", "exit 255"]).await.expect(255);
}

async fn containers_with_the_same_port_call_each_other_by_name(started: &Started) {
    for (port, own, peer) in [("backend", "web", "api"), ("api", "api", "web")] {
        let api = started.api(port);
        assert_eq!(api.get("/name").await.body, json!(format!("{own}\n")));
        assert_eq!(api.get("/cgi-bin/peer").await.body, json!(format!("{peer}\n")));
    }
}

/// The time at which a container has last written this line.
async fn said(emulator: &Emulator, container: &str, text: &str) -> OffsetDateTime {
    let logs = emulator.run(&["logs", container, "-o", "json"]).await.expect(0).stdout;
    let mut lines = logs.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let line = lines.rfind(|line| line["text"] == text);
    let line = line.unwrap_or_else(|| panic!("no `{text}` in {logs}"));
    OffsetDateTime::parse(line["time"].as_str().unwrap(), &Rfc3339).unwrap()
}

/// Also if that one ends before it works, and is started again.
async fn what_needs_a_healthy_container_starts_after_it(emulator: &Emulator) {
    let fails = said(emulator, "store", "fails").await;
    let works = said(emulator, "store", "works").await;
    let (web, api) = (said(emulator, "web", "web begins").await, said(emulator, "api", "api begins").await);
    assert!(fails < works && works < web, "{fails} {works} {web}");
    assert!(api < works, "{api} {works}: what needs nothing does not wait");
    assert_eq!(inside(emulator, "store", "hostname").await, "store\n");
    let store = status(emulator, 0).await.container("store");
    assert_eq!((&store["status"], &store["restarts"]), (&json!("healthy"), &json!(1)), "{store}");
}

async fn what_was_written_is_there(emulator: &Emulator) {
    assert_eq!(inside(emulator, "web", "cat /data/kept /kept").await, "kept\nkept\n");
}

async fn a_container_that_ends_is_restarted_as_its_policy_says(emulator: &Emulator) {
    inside(emulator, "web", "echo 4 >/data/limited").await;
    for (container, status) in [("always", 3), ("limited", 4), ("never", 5)] {
        // The shell may end with the container.
        let script = format!("echo {status} >/run/end");
        let run = emulator.inside(&[container], &["sh", "-c", &script]).await;
        assert!([0, 137].contains(&run.code), "{}: {}", run.code, run.stderr);
    }
    let again = "container `always`: its program exited with status 3 (restarted once)";
    let limited = "container `limited`: its program exited with status 4 (restarted 2 times)";
    let never = "container `never`: its program exited with status 5";
    until_reasons(emulator, "the restart", |reasons| reasons.contains(&json!(again))).await;
    let left = [limited, never].map(|reason| json!(reason));
    until_reasons(emulator, "what is not restarted", |reasons| *reasons == left).await;
    let report = status(emulator, 1).await;
    let states = ["always", "limited", "never", "web"].map(|name| report.container(name)["status"].clone());
    assert_eq!(states, ["running", "failed", "failed", "running"], "{}", report.0);
}

/// Waits until the reasons of an unhealthy instance are these.
async fn until_reasons(emulator: &Emulator, what: &str, are_these: impl Fn(&Vec<Value>) -> bool) {
    // What has just ended is not reported yet.
    let now = async || Status(emulator.run(&STATUS).await.json()).reasons();
    let probe = async || are_these(&now().await).then_some(());
    let became = wait::until(SETTLED, probe).await;
    assert!(became.is_ok(), "the reasons do not become {what}: {:?}", now().await);
}

/// What `emulator status -o json` prints.
struct Status(Value);

async fn status(emulator: &Emulator, code: i32) -> Status {
    Status(emulator.run(&STATUS).await.expect(code).json())
}

impl Status {
    fn reasons(&self) -> Vec<Value> {
        self.0["reasons"].as_array().unwrap().clone()
    }

    fn container(&self, name: &str) -> Value {
        let mut containers = self.0["containers"].as_array().unwrap().iter();
        containers.find(|container| container["name"] == name).unwrap().clone()
    }
}
