//! The recipes of `docs/testing.md`, each with the test runner that it is for.
//!
//! The tests of the recipes sign up one address twice. A backend that knows it already refuses it, so they pass only where each run,
//! or each worker, has a backend of its own.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use base::process::Cmd;
use vm::home::HOME_VARIABLE;
use vm_tests::clients::CLIENTS_VARIABLE;
use vm_tests::emulator::Emulator;
use vm_tests::{EMULATOR_VARIABLE, path_from_env};

/// Variables by which a test runner tells its children about itself.
const RUNNERS: [&str; 4] = ["NEXTEST", "CARGO_", "RUST", "EMULATOR_"];

/// Where cargo keeps what it has downloaded, and where rustup keeps compilers.
const KEPT: [&str; 3] = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];

/// A project whose tests need a backend.
struct Project<'a> {
    dir: PathBuf,
    emulator: &'a Emulator,
}

impl<'a> Project<'a> {
    /// A copy of `recipe`, in which its runner may write.
    async fn of(recipe: &str, emulator: &'a Emulator) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes").join(recipe);
        let dir = emulator.home().scratch(recipe);
        Cmd::new("cp").arg("-R").arg(source).arg(&dir).output().await.unwrap();
        if recipe == "vitest" {
            symlink(path_from_env(CLIENTS_VARIABLE).join("node_modules"), dir.join("node_modules")).unwrap();
        }
        Self { dir, emulator }
    }

    /// The same without the lines that a backend for each worker needs.
    fn without(self, configuration: &str) -> Self {
        fs::remove_file(self.dir.join(configuration)).unwrap();
        self
    }

    /// Runs a command line as the project's developer does: it succeeds.
    async fn run(&self, line: &str) {
        let emulator = path_from_env(EMULATOR_VARIABLE);
        let clients = path_from_env(CLIENTS_VARIABLE);
        let own = base::variables::raw("PATH").expect("there is a `PATH`");
        let dirs = [
            emulator.parent().unwrap().into(),
            clients.join("node_modules/.bin"),
            clients.join("python/bin"),
        ];
        let path = std::env::join_paths(dirs.into_iter().chain(std::env::split_paths(&own))).unwrap();
        let cmd = Cmd::new("sh").args(["-euc", line]).current_dir(&self.dir);
        let cmd = cmd.env("PATH", path).env(HOME_VARIABLE, self.emulator.home().home().root());
        let foreign = std::env::vars_os().map(|(name, _)| name).filter(|name| {
            let name = name.to_string_lossy();
            RUNNERS.iter().any(|prefix| name.starts_with(prefix)) && !KEPT.contains(&&*name)
        });
        let cmd = foreign.fold(cmd, Cmd::env_remove);
        let finished = cmd.finished().await.unwrap();
        let printed =
            [finished.stdout, finished.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        assert!(finished.status.success(), "{line}\n{}", printed.concat());
    }
}

#[tokio::test]
async fn test_runners_have_one_fresh_backend_for_each_run() {
    let emulator = Emulator::for_amd64();
    let recipes = [
        ("pytest", "conftest.py", "pytest -p no:cacheprovider test_one.py"),
        ("vitest", "vitest.config.ts", "vitest run one.test.ts"),
        ("nextest", ".config/nextest.toml", "cargo nextest run one"),
    ];
    for (recipe, configuration, runner) in recipes {
        let project = Project::of(recipe, &emulator).await.without(configuration);
        for _ in 0..2 {
            project.run(&format!("emulator run --fresh -- {runner}")).await;
        }
    }
    emulator.assert_tidy().await;
}

#[tokio::test]
async fn test_runners_have_one_backend_for_each_worker() {
    let emulator = Emulator::for_amd64();
    let recipes = [
        ("pytest", "pytest -p no:cacheprovider -n 2 --dist loadfile"),
        ("vitest", "vitest run"),
        ("nextest", "cargo nextest run --test-threads 2"),
    ];
    for (recipe, runner) in recipes {
        let project = Project::of(recipe, &emulator).await;
        project.run("emulator start --count 2 --instance shard").await;
        project.run(runner).await;
        project.run("emulator delete --all --yes").await;
        if recipe == "nextest" {
            project.run("cargo nextest run --profile per-test").await;
        }
    }
    emulator.assert_tidy().await;
}

#[test]
fn the_document_has_the_recipes_that_are_tested() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("../docs/testing.md")).unwrap();
    for configuration in [
        "pytest/conftest.py",
        "vitest/emulator.ts",
        "vitest/vitest.config.ts",
        "nextest/.config/nextest.toml",
    ] {
        let text = fs::read_to_string(root.join("recipes").join(configuration)).unwrap();
        assert!(document.contains(&text), "{configuration}");
        assert!(text.lines().count() <= 17, "{configuration} is too long for a recipe");
    }
}
