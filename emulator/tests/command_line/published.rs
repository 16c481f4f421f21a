//! Pulling the newest image while it is replaced by a publication.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::time::Duration;

use base::digest::{self, Sha256};
use base::events::Silent;
use fake_github::{Fault, GitHub as Server, Place, Rule};
use fetch::Credential;
use image::arch::Arch;
use image::stack::DEFAULT_STACK;
use protocol::Secret;
use release::github::{Address, GitHub};
use release::names::Names;
use release::publish::{Choices, Image, Plan, carry_out};

use super::harness::Emulator;
use super::hub::{FILE, Hub, IMAGE, REPO};

/// So many times the newest image is pulled while one after the other is published.
const PULLS: usize = 8;

/// An image built from a commit, and what publishes it.
struct Build {
    digest: Sha256,
    plan: Plan,
}

fn build(dir: &Path, number: usize) -> Build {
    let mut manifest = fake_image::manifest(Arch::Amd64);
    manifest.build.git_sha = format!("{number:040x}").chars().rev().collect();
    let content = fake_image::image(&manifest, &number.to_string());
    let dir = dir.join(number.to_string());
    std::fs::create_dir(&dir).unwrap();
    let path = dir.join(FILE);
    std::fs::write(&path, &content).unwrap();
    let digest = digest::of_bytes(&content);
    let image = Image { path, size: content.len() as u64, sha256: digest, manifest };
    let choices = Choices { incomplete: true, ..Choices::default() };
    let plan =
        Plan::images(&REPO.parse().unwrap(), &Names::of(DEFAULT_STACK), "dev", &dir, &[image], choices)
            .unwrap();
    Build { digest, plan }
}

fn publish(server: &Server, plan: &Plan) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let token = Credential::new(Secret::new("good"), "GITHUB_TOKEN");
        let address = Address::of(&server.api_url()).unwrap();
        let github = GitHub::new(address, REPO.parse().unwrap(), Some(token)).unwrap();
        carry_out(plan, &github, &Silent).await.unwrap();
    });
}

/// Pulls, which must succeed, and gives the digest of the image.
fn pulled(emulator: &Emulator) -> Sha256 {
    let shown = emulator.run(&["pull", "--skip-snapshot", "--force"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    digest::of_file(&emulator.path(IMAGE)).unwrap()
}

/// Publishes one image after the other for as long as somebody `pulls`, and gives their digests in that order.
fn publications(server: &Server, dir: &Path, first: Sha256, pulls: &Receiver<()>) -> Vec<Sha256> {
    let mut digests = vec![first];
    while pulls.try_recv() != Err(TryRecvError::Disconnected) {
        let build = build(dir, digests.len());
        publish(server, &build.plan);
        digests.push(build.digest);
    }
    digests
}

/// Pulls again and again while images are published; every image that comes is one of them, and none is older than the last.
fn pulls_all_the_time(emulator: &Emulator, server: &Server, dir: &Path, first: Sha256) {
    // So that there is time between any two requests of a publication, and between the questions of a pull.
    for method in ["PATCH", "DELETE"] {
        server.rule(Rule::new(Place::Api, Fault::Delay(Duration::from_millis(60))).method(method));
    }
    for place in [Place::Web, Place::Storage] {
        server.rule(Rule::new(place, Fault::Delay(Duration::from_millis(25))).method("GET"));
    }
    let (pulling, pulls) = mpsc::channel();
    let (mut got, published) = std::thread::scope(|scope| {
        let publisher = scope.spawn(move || publications(server, dir, first, &pulls));
        // A pull that fails ends the publications by unwinding.
        let pulling = pulling;
        let got: Vec<_> = (0..PULLS).map(|_| pulled(emulator)).collect();
        drop(pulling);
        (got, publisher.join().unwrap())
    });
    got.push(pulled(emulator));
    let numbers: Vec<_> =
        got.iter().map(|digest| published.iter().position(|known| known == digest).unwrap()).collect();
    assert!(numbers.is_sorted(), "{numbers:?}");
    assert_eq!(numbers.last(), Some(&(published.len() - 1)));
    let different = BTreeSet::from_iter(&numbers).len();
    assert!(different > 2, "{different} images are too few to be pulled meanwhile");
}

fn always_pulled(hub: &Hub) {
    let dir = tempfile::tempdir().unwrap();
    let first = build(dir.path(), 0);
    publish(&hub.server, &first.plan);
    pulls_all_the_time(&hub.emulator, &hub.server, dir.path(), first.digest);
}

#[test]
fn a_pull_at_any_moment_of_a_publication_gets_an_image() {
    always_pulled(&Hub::new());
}

#[test]
fn a_pull_with_a_token_at_any_moment_of_a_publication_gets_an_image() {
    always_pulled(&Hub::signed_in());
}

#[test]
fn a_pull_during_a_publication_gets_an_image_also_without_the_api() {
    let hub = Hub::new();
    hub.server.world().anonymous_left = Some(0);
    always_pulled(&hub);
}
