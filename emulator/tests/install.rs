//! `install.sh` installs this program from a release on a GitHub on loopback.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::path::Path;

use base::events::Silent;
use base::process::{Cmd, Finished};
use fake_github::{Content, GitHub as Server};
use fetch::Credential;
use protocol::Secret;
use release::github::{Address, GitHub, Repo};
use release::program::{self, Archive, Document};
use release::publish::{Plan, carry_out};
use tempfile::TempDir;

const REPO: &str = "stack/emulator";
const PAGE: &str = "share/man/man1/emulator.1";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A GitHub with a release of the built program, and the script that the release carries.
struct Released {
    server: Server,
    dir: TempDir,
}

impl Released {
    async fn new() -> Self {
        let server = Server::start();
        server.world().tokens.insert("token".to_owned());
        server.world().repo(REPO);
        let dir = tempfile::tempdir().unwrap();
        let page = Document { path: PAGE.to_owned(), content: b"page".to_vec() };
        let program = Path::new(env!("CARGO_BIN_EXE_emulator"));
        let archive = Archive::pack(program, &[page], &platform(), &dir.path().join("dist"));
        let (repo, script): (Repo, _) = (REPO.parse().unwrap(), include_str!("../../install.sh"));
        let web = server.web_url();
        let plan = Plan::program(&repo, &web, program::TAG, COMMIT, dir.path(), &[archive.unwrap()], script)
            .unwrap();
        let token = Credential::new(Secret::new("token"), "GITHUB_TOKEN");
        let github = GitHub::new(Address::of(&server.api_url()).unwrap(), repo, Some(token)).unwrap();
        carry_out(&plan, &github, &Silent).await.unwrap();
        Self { server, dir }
    }

    /// Fetches the script from the release, as a user would, and runs it.
    async fn install(&self, arguments: &[&str]) -> Finished {
        let script = self.dir.path().join(program::INSTALLER);
        let url = format!("{}/{REPO}/releases/latest/download/{}", self.server.web_url(), program::INSTALLER);
        let text = reqwest::get(url).await.unwrap().error_for_status().unwrap().bytes().await.unwrap();
        fs::write(&script, text).unwrap();
        let sh = Cmd::new("sh").arg(&script).arg("--prefix").arg(self.prefix()).args(arguments);
        sh.env("GITHUB_SERVER_URL", self.server.web_url()).finished().await.unwrap()
    }

    fn prefix(&self) -> std::path::PathBuf {
        self.dir.path().join("prefix")
    }

    /// What lies in `bin`.
    fn installed(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.prefix().join("bin")) else { return Vec::new() };
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    /// Lets the release have other bytes as `name`.
    fn replace(&self, name: &str, content: Vec<u8>) {
        let mut world = self.server.world();
        let mut assets =
            world.repo(REPO).releases.values_mut().flat_map(|release| release.assets.values_mut());
        assets.find(|asset| asset.name == name).unwrap().content = Content::from(content);
    }
}

/// This machine, as releases call it.
fn platform() -> String {
    let system = if cfg!(target_os = "macos") { "apple-darwin" } else { "unknown-linux-musl" };
    format!("{}-{system}", std::env::consts::ARCH)
}

fn stderr(finished: &Finished) -> String {
    String::from_utf8_lossy(&finished.stderr).into_owned()
}

#[tokio::test]
async fn the_released_script_installs_a_program_that_runs() {
    let released = Released::new().await;
    let finished = released.install(&[]).await;
    assert!(finished.status.success(), "{}", stderr(&finished));
    assert!(stderr(&finished).contains(&format!("emulator {}\n", program::VERSION)), "{}", stderr(&finished));
    assert_eq!(released.installed(), ["emulator"]);
    let version = Cmd::new(released.prefix().join("bin/emulator")).arg("--version").text().await.unwrap();
    assert_eq!(version, format!("emulator {}", program::VERSION));
    assert_eq!(fs::read_to_string(released.prefix().join(PAGE)).unwrap(), "page");
    let receipt = fs::read_to_string(released.prefix().join(program::RECEIPT)).unwrap();
    assert_eq!(receipt, format!("{}\n", released.prefix().join("bin/emulator").display()));

    // By version too, over what is there.
    let finished = released.install(&["--version", program::TAG]).await;
    assert!(finished.status.success(), "{}", stderr(&finished));

    // What arrives spoilt is not installed, and what is there stays.
    let archive = program::archive_file(&platform());
    released.replace(&archive, b"another file".to_vec());
    let finished = released.install(&[]).await;
    assert_eq!(finished.status.code(), Some(1));
    assert!(stderr(&finished).contains(&format!("error: `{archive}` has the wrong checksum: expected ")));
    assert_eq!(released.installed(), ["emulator"]);
    released.replace(program::CHECKSUMS, Vec::new());
    let finished = released.install(&[]).await;
    assert_eq!(stderr(&finished), format!("error: `SHA256SUMS` does not list `{archive}`\n"));

    let finished = released.install(&["--version", "v99.0.0"]).await;
    assert_eq!(finished.status.code(), Some(1));
    assert!(stderr(&finished).contains("/releases/download/v99.0.0/SHA256SUMS`\n"), "{}", stderr(&finished));
    assert_eq!(released.installed(), ["emulator"]);
}

#[tokio::test]
async fn the_script_of_a_checkout_wants_to_know_the_repository() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../install.sh");
    let finished = Cmd::new("sh").arg(script).env_remove("EMULATOR_REPO").finished().await.unwrap();
    assert_eq!(finished.status.code(), Some(1));
    assert_eq!(stderr(&finished), "error: no repository is named: give `--repo OWNER/NAME`\n");
    let finished = Cmd::new("sh").args([script, "--nonsense"]).finished().await.unwrap();
    assert!(stderr(&finished).ends_with("error: unknown argument `--nonsense`\n"));
}
