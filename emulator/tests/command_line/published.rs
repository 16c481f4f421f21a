//! Pulling the newest image while it is replaced by a publication.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake_github::{Fault, GitHub as Server, Place, Rule};
use host::digest;
use host::events::Silent;
use protocol::Secret;
use release::arch::Arch;
use release::github::{Address, GitHub, Token};
use release::manifest::Manifest;
use release::publish::{Image, Plan, carry_out};

use super::harness::Emulator;
use super::pull::{FILE, IMAGE, REPO, image_of, manifest};

/// Images of so many commits are published, one after the other.
const BUILDS: u8 = 4;

/// An image built from a commit, and what publishes it.
struct Build {
    digest: String,
    plan: Plan,
}

fn builds(dir: &Path) -> Vec<Build> {
    (1..=BUILDS).map(|number| build(&dir.join(number.to_string()), number)).collect()
}

fn build(dir: &Path, number: u8) -> Build {
    let mut manifest: Manifest = manifest(Arch::Amd64);
    manifest.build.git_sha = format!("{number:040x}").chars().rev().collect();
    let content = image_of(&manifest, &number.to_string());
    std::fs::create_dir(dir).unwrap();
    let path = dir.join(FILE);
    std::fs::write(&path, &content).unwrap();
    let digest = digest::of_bytes(&content);
    let image = Image { path, size: content.len() as u64, sha256: digest.clone(), manifest };
    let plan = Plan::images(&REPO.parse().unwrap(), "dev", dir, &[image], None, true).unwrap();
    Build { digest, plan }
}

fn publish(server: &Server, plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let token = Token::new(Secret::new("good"), "GITHUB_TOKEN");
        let address = Address::of(&server.api_url()).unwrap();
        let github = GitHub::new(address, REPO.parse().unwrap(), Some(token)).unwrap();
        carry_out(plan, &github, &Silent).await.unwrap();
    });
}

fn server_with(build: &Build) -> Server {
    let server = Server::start();
    server.world().tokens.insert("good".to_owned());
    server.world().repo(REPO);
    publish(&server, &build.plan);
    server
}

fn emulator(server: &Server) -> Emulator {
    Emulator::new()
        .with("GITHUB_API_URL", &server.api_url())
        .with("EMULATOR_REPO", REPO)
        .with("EMULATOR_ARCH", "amd64")
        .with("QEMU_IMG", concat!(env!("CARGO_MANIFEST_DIR"), "/../vm/fixtures/qemu-img"))
}

/// Pulls, which must succeed, and gives the digest of the image.
fn pulled(emulator: &Emulator) -> String {
    let shown = emulator.run(&["pull", "--skip-snapshot", "--force"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    digest::of_file(&emulator.path(IMAGE)).unwrap()
}

/// Pulls in a loop while one image after the other is published; every one that comes is one of them, and none is older than
/// the last.
fn pulls_all_the_time(emulator: &Emulator, server: &Server, builds: &[Build]) {
    // So that there is time between any two requests of a publication, and between the questions of a pull.
    for method in ["PATCH", "DELETE"] {
        server.rule(Rule::new(Place::Api, Fault::Delay(Duration::from_millis(60))).method(method));
    }
    for place in [Place::Web, Place::Storage] {
        server.rule(Rule::new(place, Fault::Delay(Duration::from_millis(25))).method("GET"));
    }
    let done = AtomicBool::new(false);
    let got = std::thread::scope(|scope| {
        scope.spawn(|| {
            builds[1..].iter().for_each(|build| publish(server, &build.plan));
            done.store(true, Ordering::Relaxed);
        });
        let mut got = Vec::new();
        while !done.load(Ordering::Relaxed) {
            got.push(pulled(emulator));
        }
        got.push(pulled(emulator));
        got
    });
    assert!(got.len() > builds.len(), "{} pulls are too few to be meanwhile", got.len());
    let number = |digest: &String| builds.iter().position(|build| build.digest == *digest).unwrap();
    let numbers: Vec<_> = got.iter().map(number).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&(builds.len() - 1)));
}

#[test]
fn a_pull_at_any_moment_of_a_publication_gets_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let builds = builds(dir.path());
    let server = server_with(&builds[0]);
    pulls_all_the_time(&emulator(&server), &server, &builds);
}

#[test]
fn a_pull_with_a_token_at_any_moment_of_a_publication_gets_an_image() {
    let dir = tempfile::tempdir().unwrap();
    let builds = builds(dir.path());
    let server = server_with(&builds[0]);
    pulls_all_the_time(&emulator(&server).with("GITHUB_TOKEN", "good"), &server, &builds);
}
