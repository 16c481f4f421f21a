//! Images, plans, and a GitHub that takes them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use base::digest::{self, Sha256};
use base::events::{Event, Reporter, Silent};
use fake_github::{GitHub as Server, Release};
use fetch::Credential;
use image::arch::Arch;
use image::manifest::{Build, Manifest};
use image::stack::DEFAULT_STACK;
use protocol::Secret;
use release::github::{Address, GitHub, Repo};
use release::names::Names;
use release::publish::{Choices, Image, Plan, PublishError, carry_out};
use tempfile::TempDir;

pub(crate) const REPO: &str = "stack/emulator";
pub(crate) const BRANCH: &str = "dev";
pub(crate) const OLD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(crate) const NEW: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// When images are built, unless a test says otherwise.
const TIME: &str = "2026-03-09T10:20:30Z";

/// How often it is looked whether a publication is held up.
const GLANCE: Duration = Duration::from_millis(2);

/// The names of this repository's images.
pub(crate) fn names() -> Names {
    Names::of(DEFAULT_STACK)
}

pub(crate) fn repo() -> Repo {
    REPO.parse().unwrap()
}

pub(crate) fn manifest(arch: Arch, commit: &str) -> Manifest {
    let mut manifest = fake_image::manifest(arch);
    manifest.build = Build { git_sha: commit.to_owned(), time: TIME.to_owned() };
    manifest.debian.packages = BTreeMap::from([
        ("postgresql-17".to_owned(), "17.6-0+deb13u1".to_owned()),
        (format!("linux-image-{arch}"), "6.12.48-1".to_owned()),
    ]);
    manifest
}

/// Images of both architectures, built from `commit`, and what is to be published of them.
pub(crate) struct Built {
    pub(crate) dir: TempDir,
    pub(crate) plan: Plan,
}

impl Built {
    pub(crate) fn from(commit: &str) -> Self {
        Self::at(commit, TIME, Choices::default())
    }

    /// Built at `time`.
    pub(crate) fn at(commit: &str, time: &str, choices: Choices<'_>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let images = Arch::ALL.map(|arch| {
            let mut image = image(dir.path(), arch, commit);
            time.clone_into(&mut image.manifest.build.time);
            image
        });
        let plan = Plan::images(&repo(), &names(), BRANCH, dir.path(), &images, choices).unwrap();
        Self { dir, plan }
    }
}

/// An image whose content follows from `arch` and `commit`; larger than what goes out at once.
pub(crate) fn image(dir: &Path, arch: Arch, commit: &str) -> Image {
    let path = dir.join(arch.image_file());
    let content = format!("{arch} {commit}\n").repeat(20_000);
    std::fs::write(&path, &content).unwrap();
    Image {
        path,
        size: content.len() as u64,
        sha256: digest::of_bytes(content.as_bytes()),
        manifest: manifest(arch, commit),
    }
}

/// A GitHub with the repository, and nothing in it.
pub(crate) fn server() -> Server {
    let server = Server::start();
    server.world().tokens.insert("token".to_owned());
    server.world().repo(REPO);
    server
}

pub(crate) fn client(server: &Server) -> GitHub {
    let token = Credential::new(Secret::new("token"), "GITHUB_TOKEN");
    GitHub::new(Address::of(&server.api_url()).unwrap(), repo(), Some(token)).unwrap()
}

pub(crate) async fn publish(server: &Server, built: &Built) -> Result<(), PublishError> {
    carry_out(&built.plan, &client(server), &Silent).await.map(drop)
}

/// Publishes, and returns what it warned of.
pub(crate) async fn warnings_of(server: &Server, built: &Built) -> Vec<String> {
    let warnings = Warnings::default();
    carry_out(&built.plan, &client(server), &warnings).await.unwrap();
    warnings.0.into_inner().unwrap()
}

/// Keeps the warnings.
#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Reporter for Warnings {
    fn report(&self, event: &Event<'_>) {
        if let Event::Warning(text) = event {
            self.0.lock().unwrap().push((*text).to_owned());
        }
    }
}

/// Publishes, and is killed once the server holds a request. Tells whether it did.
pub(crate) async fn is_killed(server: &Server, built: &Built) -> bool {
    let held = async {
        while server.held() == 0 {
            tokio::time::sleep(GLANCE).await;
        }
    };
    tokio::select! {
        () = held => true,
        done = publish(server, built) => {
            done.unwrap();
            false
        }
    }
}

/// Everything that people can see, without numbers and times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    releases: Vec<SeenRelease>,
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SeenRelease {
    tag: String,
    title: String,
    notes: String,
    draft: bool,
    prerelease: bool,
    /// State and digest by name.
    assets: Vec<(String, &'static str, Sha256)>,
}

pub(crate) fn seen(server: &Server) -> Seen {
    let world = server.world();
    let repo = &world.repos[REPO];
    let mut releases: Vec<_> = repo.releases.values().map(seen_release).collect();
    releases.sort();
    Seen { releases, tags: repo.tags.clone() }
}

fn seen_release(release: &Release) -> SeenRelease {
    let asset = |asset: &fake_github::Asset| (asset.name.clone(), asset.state, asset.content.sha256());
    let mut assets: Vec<_> = release.assets.values().map(asset).collect();
    assets.sort();
    SeenRelease {
        tag: release.tag.clone(),
        title: release.name.clone(),
        notes: release.body.clone(),
        draft: release.draft,
        prerelease: release.prerelease,
        assets,
    }
}

impl Seen {
    /// Without the release whose tag ends so, and its tag.
    pub(crate) fn without(mut self, end: &str) -> Self {
        self.releases.retain(|release| !release.tag.ends_with(end));
        self.tags.retain(|tag, _| !tag.ends_with(end));
        self
    }
}
