//! The scripts of the action `setup-emulator`, as a runner calls them. Stand-ins take the place of what only runners have.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use base::process::{Cmd, Finished};
use release::program::{self, Archive};
use tempfile::TempDir;

const ACTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../.github/actions/setup-emulator");

/// Downloads what it is asked for from `dist`, and notes how it was asked.
const GH: &str = r#"
echo "$GH_TOKEN $GH_HOST $*" > "$RUNNER_TEMP/asked"
while [ $# -gt 0 ]; do
    case $1 in
    --dir) dir=$2 && mkdir -p "$dir" ;;
    --pattern) cp "$RUNNER_TEMP/dist/$2" "$dir" ;;
    esac
    shift
done
"#;

/// A runner in a temporary directory.
struct Runner(TempDir);

impl Runner {
    fn new() -> Self {
        let runner = Self(tempfile::tempdir().unwrap());
        fs::create_dir(runner.path("bin")).unwrap();
        for nothing in ["sudo", "brew"] {
            runner.stand_in(nothing, "");
        }
        runner
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn stand_in(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    }

    /// What a script has left for the runner in this file.
    fn left(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    async fn run(&self, script: &str, variables: &[(&str, &str)]) -> Finished {
        let system = if cfg!(target_os = "macos") { "macOS" } else { "Linux" };
        let machine = if cfg!(target_arch = "x86_64") { "X64" } else { "ARM64" };
        let path = format!("{}:{}", self.path("bin").display(), base::variables::text("PATH").unwrap());
        let mut script = Cmd::new(Path::new(ACTION).join(script))
            .env("PATH", path)
            .env("RUNNER_OS", system)
            .env("RUNNER_ARCH", machine)
            .env("RUNNER_TEMP", self.0.path())
            .env("GITHUB_ACTION_PATH", ACTION);
        for file in ["GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_ENV"] {
            script = script.env(file, self.path(file));
        }
        for (name, value) in variables {
            script = script.env(name, value);
        }
        script.finished().await.unwrap()
    }

    /// Exports what an emulator has whose status is `json`, reported with this exit status.
    async fn export(&self, json: &str, exit: u8) -> (bool, String) {
        fs::write(self.path("status"), json).unwrap();
        self.stand_in("emulator", &format!(r#"cat "$RUNNER_TEMP/status"; exit {exit}"#));
        let finished = self.run("export-credentials.sh", &[]).await;
        (finished.status.success(), String::from_utf8(finished.stdout).unwrap())
    }
}

fn platform() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    format!("{}-{system}", std::env::consts::ARCH)
}

#[tokio::test]
async fn the_program_of_a_private_repository_is_installed_with_the_token() {
    let runner = Runner::new();
    runner.stand_in("gh", GH);
    let built = Path::new(env!("CARGO_BIN_EXE_emulator"));
    let archive = Archive::pack(built, &[], &platform(), &runner.path("dist")).unwrap();
    let sums = program::checksums(std::slice::from_ref(&archive));
    fs::write(runner.path("dist").join(program::CHECKSUMS), sums).unwrap();
    for (version, asks) in [("", "download --repo o/r --dir "), ("v1", "download v1 --repo o/r --dir ")] {
        let variables = [
            ("TOKEN", "t0ken"),
            ("EMULATOR_REPO", "o/r"),
            ("EMULATOR_VERSION", version),
            ("GITHUB_SERVER_URL", "https://git.example.com"),
        ];
        let finished = runner.run("install-emulator.sh", &variables).await;
        assert!(finished.status.success(), "{}", String::from_utf8_lossy(&finished.stderr));
        let asked = runner.left("asked");
        assert!(asked.starts_with(&format!("t0ken git.example.com release {asks}")), "{asked}");
    }
    let bin = runner.path("emulator/bin");
    assert_eq!(runner.left("GITHUB_PATH").lines().next(), bin.to_str());
    assert!(runner.left("GITHUB_OUTPUT").starts_with("home="));
    let version = Cmd::new(bin.join("emulator")).arg("--version").text().await.unwrap();
    assert_eq!(version, format!("emulator {}", program::VERSION));
}

#[tokio::test]
async fn addresses_and_keys_are_exported_and_the_keys_masked_first() {
    let status = r#"{
        "state": "running", "reasons": REASONS, "ports": [{ "name": "backend-2", "url": "http://127.0.0.1:1" }],
        "secrets": [{ "name": "key", "env": "SECRET_KEY", "value": "s3cret" }]
    }"#;
    for (reasons, exit, says) in [
        ("[]", 0, ""),
        (r#"["`backend` is slow"]"#, 1, "::warning::`backend` is slow\n"),
        (r#"["50%\n::error::forged"]"#, 1, "::warning::50%25%0A::error::forged\n"),
    ] {
        let runner = Runner::new();
        let (success, output) = runner.export(&status.replace("REASONS", reasons), exit).await;
        assert_eq!((success, output), (true, format!("::add-mask::s3cret\n{says}")));
        assert_eq!(
            runner.left("GITHUB_ENV"),
            "EMULATOR_BACKEND_2_URL=http://127.0.0.1:1\nSECRET_KEY=s3cret\n"
        );
    }
}

#[tokio::test]
async fn an_emulator_that_does_not_run_any_more_is_told_with_its_reasons() {
    let broken = r#"{ "state": "broken", "reasons": ["the record is damaged"], "ports": [], "secrets": [] }"#;
    for (status, says) in [(broken, "::warning::the record is damaged\n"), ("", "")] {
        let runner = Runner::new();
        let (success, output) = runner.export(status, 1).await;
        let error =
            "::error::the emulator does not run any more: see `emulator status` and `emulator logs`\n";
        assert_eq!((success, output), (false, format!("{says}{error}")));
        assert_eq!(runner.left("GITHUB_ENV"), "");
    }
}
