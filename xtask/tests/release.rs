//! `cargo xtask release` as maintainers and workflows call it.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use base::process::{Cmd, Finished};
use fake_github::{Fault, GitHub as Server, Place, Rule};
use image::arch::Arch;
use release::program::{Archive, TAG, TARGETS};
use serde_json::Value;
use tempfile::TempDir;

const REPO: &str = "stack/emulator";

fn server() -> Server {
    let server = Server::start();
    server.world().tokens.insert("token".to_owned());
    server.world().repo(REPO);
    server
}

/// A directory with an archive for every platform.
fn archives() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for target in TARGETS {
        Archive::pack(Path::new("/bin/sh"), &[], target, dir.path()).unwrap();
    }
    dir
}

/// Runs `cargo xtask release` for `server`.
async fn release(server: &Server, arguments: &[&str]) -> Finished {
    command(server, arguments).finished().await.unwrap()
}

fn command(server: &Server, arguments: &[&str]) -> Cmd {
    let xtask = Cmd::new(env!("CARGO_BIN_EXE_xtask")).arg("release").args(arguments);
    let xtask = xtask.env_remove("GITHUB_REF_NAME").env("GITHUB_REPOSITORY", REPO);
    let xtask = xtask.env("GITHUB_API_URL", server.api_url()).env("GITHUB_TOKEN", "token");
    xtask.env("QEMU_IMG", fake_image::QEMU_IMG)
}

/// A directory with an image for every architecture.
fn images() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for arch in Arch::ALL {
        let image = fake_image::image(&fake_image::manifest(arch), "kernel");
        fs::write(dir.path().join(arch.image_file()), image).unwrap();
    }
    dir
}

fn files(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let (server, dir) = (server(), archives());
    let before = files(dir.path());
    let program = dir.path().to_str().unwrap();
    let dry = release(&server, &["publish", "--program", program, "--dry-run"]).await;
    assert!(dry.status.success(), "{}", String::from_utf8_lossy(&dry.stderr));
    assert_eq!(server.take_requests(), []);
    assert_eq!(files(dir.path()), before);
    let plan = release(&server, &["plan", "--program", program]).await;
    assert_eq!(dry.stdout, plan.stdout);
    let plan: Value = serde_json::from_slice(&plan.stdout).unwrap();
    assert_eq!(plan["releases"][0]["tag"], TAG);
    assert_eq!(plan["releases"][0]["assets"].as_array().unwrap().len(), TARGETS.len() + 2);
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_is_not_set() {
    let (server, dir) = (server(), archives());
    let plan = command(&server, &["plan", "--program", dir.path().to_str().unwrap()]);
    let plan = plan.env("GITHUB_REF_NAME", "").env("EMULATOR_NO_ROLLING", "").finished().await.unwrap();
    assert!(plan.status.success(), "{}", String::from_utf8_lossy(&plan.stderr));
    let unset = command(&server, &["plan"]).env("GITHUB_REPOSITORY", "").finished().await.unwrap();
    assert!(String::from_utf8_lossy(&unset.stderr).contains("--repo <REPO>"));
    let wrong = command(&server, &["plan"]).env("GITHUB_REPOSITORY", "nowhere").finished().await.unwrap();
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("for 'GITHUB_REPOSITORY'"));
}

#[tokio::test]
async fn a_hangup_that_is_ignored_does_not_interrupt() {
    let (server, dir) = (server(), archives());
    for (trap, exit) in [("trap '' HUP", 0), (":", 129)] {
        // Under way for as long as the server makes it wait.
        server.rule(Rule::new(Place::Api, Fault::Delay(Duration::from_secs(4))).times(1));
        let script =
            format!(r#"{trap}; "$0" "$@" & child=$!; sleep 2; kill -HUP $child || exit 99; wait $child"#);
        let publish = ["release", "publish", "--program", dir.path().to_str().unwrap(), "--tag", TAG];
        let publish = Cmd::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_xtask")]).args(publish);
        let publish = publish.env("GITHUB_REPOSITORY", REPO).env_remove("GITHUB_REF_NAME");
        let publish = publish.env("GITHUB_API_URL", server.api_url()).env("GITHUB_TOKEN", "token");
        let done = publish.finished().await.unwrap();
        assert_eq!(done.status.code(), Some(exit), "{trap}: {}", String::from_utf8_lossy(&done.stderr));
        server.clear_rules();
    }
}

#[tokio::test]
async fn images_are_published_as_the_dry_run_has_said() {
    let (server, dir) = (server(), images());
    let before = files(dir.path());
    let images = ["--images", dir.path().to_str().unwrap(), "--branch", "fix/boot"];
    let dry = release(&server, &[&["publish", "--dry-run"], &images[..]].concat()).await;
    assert!(dry.status.success(), "{}", String::from_utf8_lossy(&dry.stderr));
    assert_eq!((server.take_requests(), files(dir.path())), (vec![], before));
    let notes = release(&server, &[&["notes"], &images[..]].concat()).await;
    let plan: Value = serde_json::from_slice(&dry.stdout).unwrap();
    assert_eq!(plan["releases"][0]["notes"].as_str().unwrap().as_bytes(), notes.stdout);

    let done = release(&server, &[&["publish"], &images[..]].concat()).await;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.stdout, dry.stdout);
    let world = server.world();
    let made: Vec<_> = world.repos[REPO].releases.values().map(|release| release.tag.as_str()).collect();
    assert_eq!(made, ["emulator-fix-boot-20260101-01234567", "emulator-fix-boot-latest"]);
    for release in world.repos[REPO].releases.values() {
        let names = release.assets.values().map(|asset| asset.name.as_str());
        assert!(names.eq(["stack-emulator-amd64.qcow2", "stack-emulator-arm64.qcow2"]));
    }
}

#[tokio::test]
async fn images_of_another_stack_are_published_by_its_name() {
    let (server, dir) = (server(), tempfile::tempdir().unwrap());
    let mut manifest = fake_image::manifest(Arch::Amd64);
    manifest.stack.name = "shop".to_owned();
    fs::write(dir.path().join("shop-amd64.qcow2"), fake_image::image(&manifest, "kernel")).unwrap();
    let arguments =
        ["publish", "--stack", "shop", "--images", dir.path().to_str().unwrap(), "--branch", "main"];
    let done = command(&server, &arguments).env("EMULATOR_INCOMPLETE", "true").finished().await.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let world = server.world();
    let releases = world.repos[REPO].releases.values();
    let made: Vec<_> = releases.map(|release| release.tag.as_str()).collect();
    assert_eq!(made, ["shop-emulator-main-20260101-01234567", "shop-emulator-main-latest"]);
    let assets = world.repos[REPO].releases.values().flat_map(|release| release.assets.values());
    assert!(assets.map(|asset| asset.name.as_str()).eq(["shop-amd64.qcow2"; 2]));
}

#[tokio::test]
async fn publishing_the_program_makes_the_newest_release() {
    let (server, dir) = (server(), archives());
    let done = release(&server, &["publish", "--program", dir.path().to_str().unwrap(), "--tag", TAG]).await;
    let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{stderr}");
    assert!(stderr.contains(&format!("/{REPO}/releases/tag/{TAG}")), "{stderr}");
    let world = server.world();
    let [release] = world.repos[REPO].releases.values().collect::<Vec<_>>()[..] else {
        panic!("one release is made")
    };
    assert!(!release.draft && !release.prerelease);
    let mut names: Vec<_> = release.assets.values().map(|asset| asset.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "SHA256SUMS",
            "emulator-aarch64-apple-darwin.tar.gz",
            "emulator-aarch64-unknown-linux-musl.tar.gz",
            "emulator-x86_64-apple-darwin.tar.gz",
            "emulator-x86_64-unknown-linux-musl.tar.gz",
            "install.sh",
        ]
    );
}

#[tokio::test]
async fn what_cannot_be_published_is_said_before_anything_is_asked() {
    let (server, empty) = (server(), tempfile::tempdir().unwrap());
    let dir = empty.path().to_str().unwrap();
    let nothing = release(&server, &["publish", "--images", dir, "--branch", "dev"]).await;
    assert!(!nothing.status.success());
    let expected = format!("there is no image `stack-emulator-<arch>.qcow2` in `{dir}`");
    assert!(String::from_utf8_lossy(&nothing.stderr).contains(&expected));
    let image = fs::File::create(empty.path().join("stack-emulator-amd64.qcow2")).unwrap();
    image.set_len(2 << 30).unwrap();
    let large = release(&server, &["publish", "--images", dir, "--branch", "dev"]).await;
    assert!(!large.status.success());
    assert!(String::from_utf8_lossy(&large.stderr).contains("a release takes files of less than 2 GiB"));
    let other = archives();
    let version =
        release(&server, &["publish", "--program", other.path().to_str().unwrap(), "--tag", "v99.0.0"]).await;
    assert!(
        String::from_utf8_lossy(&version.stderr).contains("the tag is `v99.0.0`, but the program is version")
    );
    assert_eq!(server.take_requests(), []);
}

#[tokio::test]
async fn the_rolling_release_is_left_out_by_a_variable_too() {
    let (server, dir, program) = (server(), images(), archives());
    let images = ["plan", "--branch", "dev", "--images", dir.path().to_str().unwrap()];
    for (value, count) in [("", 2), ("false", 2), ("1", 1)] {
        let plan = command(&server, &images).env("EMULATOR_NO_ROLLING", value).output().await.unwrap();
        let plan: Value = serde_json::from_slice(&plan).unwrap();
        assert_eq!(plan["releases"].as_array().unwrap().len(), count, "{value}");
        // It is about images, and has no effect elsewhere.
        let program = ["plan", "--program", program.path().to_str().unwrap()];
        command(&server, &program).env("EMULATOR_NO_ROLLING", value).output().await.unwrap();
    }
}

#[tokio::test]
async fn images_of_a_checkout_without_a_branch_are_of_none() {
    let (server, dir, checkout) = (server(), images(), tempfile::tempdir().unwrap());
    let git = |arguments: &str| {
        let git = Cmd::new("git").args(["-c", "user.name=n", "-c", "user.email=e"]);
        git.args(arguments.split(' ')).current_dir(checkout.path())
    };
    git("init --quiet --initial-branch=fix").output().await.unwrap();
    git("commit --quiet --allow-empty --message=m").output().await.unwrap();
    let plan = ["plan", "--images", dir.path().to_str().unwrap()];
    let plan = || command(&server, &plan).env("GIT_DIR", checkout.path().join(".git"));
    let shown: Value = serde_json::from_slice(&plan().output().await.unwrap()).unwrap();
    assert_eq!(shown["releases"][1]["tag"], "emulator-fix-latest");

    git("checkout --quiet --detach").output().await.unwrap();
    let refused = plan().finished().await.unwrap();
    assert!(!refused.status.success());
    let says = "this checkout is on no branch: name one with `--branch`";
    assert!(String::from_utf8_lossy(&refused.stderr).contains(says));
}
