//! `emulator diagnose`.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::Emulator;

/// Values that must not leave this machine.
const SECRETS: [&str; 4] =
    ["5e55i0n-key", "ghp_abcdefghij0123456789", "hunter2-password", "alice@example.com"];

/// The texts in an archive by their names.
fn unpacked(path: &Path) -> BTreeMap<String, String> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(File::open(path).unwrap()).unwrap());
    let texts = tar.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    texts.collect()
}

/// With an instance that has a secret, in whose log are more.
fn emulator() -> Emulator {
    let emulator = Emulator::new().without_programs().within("work").with("GITHUB_TOKEN", SECRETS[1]);
    let record = include_str!("suspended_instance.json");
    emulator.write("instances/default/instance.json", &record.replacen("5ec2e7", SECRETS[0], 1));
    let home = emulator.path("").display().to_string();
    let log =
        format!("started in {home}\nkey {}\nPGPASSWORD={}\nmail to {}\n", SECRETS[0], SECRETS[2], SECRETS[3]);
    emulator.write("instances/default/logs/serial.log", &log);
    emulator.write("instances/default/failed-resume/qemu.log", &format!("token {}\n", SECRETS[1]));
    emulator
}

#[test]
fn an_archive_for_a_report_has_the_logs_and_no_secret() {
    let emulator = emulator();
    let shown = emulator.run(&["diagnose", "--file", "fault.tar.zst", "-o", "json"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    let path = emulator.dir().join("fault.tar.zst");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let texts = unpacked(&path);
    for name in [
        "host.txt",
        "version.json",
        "doctor.json",
        "list.json",
        "instances/default/status.json",
        "instances/default/failed-resume/qemu.log",
    ] {
        assert!(texts.contains_key(name) && shown.contains(&format!("\"{name}\"")), "no `{name}` in {shown}");
    }
    let all = format!("{texts:?}");
    for secret in SECRETS {
        assert!(!all.contains(secret), "`{secret}` in {all}");
    }
    let home = emulator.path("images").with_file_name("");
    assert!(!all.contains(home.to_str().unwrap().trim_end_matches('/')), "the path of the home in {all}");
    insta::assert_snapshot!(texts["instances/default/logs/serial.log"], @"
    started in [home]/
    key [redacted]
    PGPASSWORD=[redacted]
    mail to [address]
    ");
    assert!(texts["host.txt"].contains("GITHUB_TOKEN is set"), "{all}");
    assert!(texts["doctor.json"].contains("[exit status: 5]"), "{all}");
}

#[test]
fn a_file_that_exists_is_not_replaced_by_a_report() {
    let emulator = emulator();
    fs::write(emulator.dir().join("fault.tar.zst"), "mine").unwrap();
    let shown = emulator.run(&["diagnose", "--file", "fault.tar.zst"]);
    assert!(shown.contains("error: cannot create `fault.tar.zst`\n  cause: File exists"), "{shown}");
    assert_eq!(fs::read_to_string(emulator.dir().join("fault.tar.zst")).unwrap(), "mine");
    assert_eq!(fs::read_dir(emulator.dir()).unwrap().count(), 1, "nothing else is left");
}
