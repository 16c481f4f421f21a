//! A GitHub on loopback and the program that pulls from it. Small disks stand in for images, and a script for `qemu-img`.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fs;
use std::io::{Cursor, Write as _};

use base::digest;
use fake_github::{Content, GitHub, Place, PullRequest, Release, Run};
use image::arch::Arch;
use time::OffsetDateTime;
use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::harness::Emulator;

pub(crate) const REPO: &str = "stack/emulator";
pub(crate) const FILE: &str = "stack-emulator-amd64.qcow2";
pub(crate) const IMAGE: &str = "images/stack-emulator-amd64.qcow2";
pub(crate) const PART: &str = "downloads/stack-emulator-amd64.qcow2.part";

/// An image, distinguished from others by its kernel.
pub(crate) fn image(arch: Arch, kernel: &str) -> Vec<u8> {
    fake_image::image(&fake_image::manifest(arch), kernel)
}

/// An archive with one file, as the action that uploads artifacts makes it.
pub(crate) fn zipped(name: &str, bytes: &[u8]) -> Vec<u8> {
    packed(name, bytes, SimpleFileOptions::default().compression_method(CompressionMethod::Deflated))
}

/// One in the format for large files that does not compress.
pub(crate) fn zipped64(name: &str, bytes: &[u8]) -> Vec<u8> {
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    packed(name, bytes, stored.large_file(true))
}

fn packed(name: &str, bytes: &[u8], options: SimpleFileOptions) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, options).unwrap();
    zip.write_all(bytes).unwrap();
    zip.finish().unwrap().into_inner()
}

/// The program, and a GitHub that it talks to.
pub(crate) struct Hub {
    pub(crate) emulator: Emulator,
    pub(crate) server: GitHub,
}

impl Hub {
    pub(crate) fn new() -> Self {
        let server = GitHub::start();
        server.world().tokens.insert("good".to_owned());
        server.world().repo(REPO);
        let emulator = Emulator::new()
            .with("GITHUB_API_URL", server.api_url())
            .with("EMULATOR_REPO", REPO)
            .with("EMULATOR_ARCH", "amd64")
            .with("QEMU_IMG", fake_image::QEMU_IMG);
        Self { emulator, server }
    }

    /// With a token that the server knows.
    pub(crate) fn signed_in() -> Self {
        let Self { emulator, server } = Self::new();
        Self { emulator: emulator.with("GITHUB_TOKEN", "good"), server }
    }

    /// Publishes `bytes` as the newest image of `dev`, instead of the last one.
    pub(crate) fn publish(&self, bytes: Vec<u8>) {
        let mut world = self.server.world();
        world.repo(REPO).releases.clear();
        let release = Release::published("emulator-dev-latest", OffsetDateTime::UNIX_EPOCH);
        let release = world.add_release(REPO, release);
        world.add_asset(REPO, release, FILE, Content::from(bytes));
    }

    /// A successful run for pull request 7 of `from`, whose artifact is `bytes`.
    pub(crate) fn build(&self, from: &str, bytes: Vec<u8>) -> u64 {
        let mut world = self.server.world();
        world.repo(REPO).pulls.insert(7, PullRequest::open(from, "dev", "cafe"));
        let run = world.add_run(REPO, Run::succeeded(from, "dev", "cafe"));
        world.add_artifact(REPO, run, "qemu-emulator-amd64", Content::from(bytes));
        run
    }

    pub(crate) fn pull(&self, args: &[&str]) -> String {
        let shown = self.emulator.run(&[&["pull", "--skip-snapshot"], args].concat());
        let shown = shown.replace(&self.server.api_url(), "[api]").replace(&self.server.web_url(), "[web]");
        for request in self.server.take_requests() {
            assert!(request.place == Place::Api || request.authorization.is_none(), "{request:?}");
        }
        shown
    }

    /// The pull succeeds, and the image is `bytes`.
    pub(crate) fn gets(&self, bytes: &[u8], args: &[&str]) {
        let shown = self.pull(args);
        assert!(shown.starts_with("exit 0\n"), "{shown}");
        self.has(bytes);
        assert!(!self.emulator.path(PART).exists());
    }

    /// `bytes` are published as the newest image, and pulled.
    pub(crate) fn gets_newest(&self, bytes: &[u8]) {
        self.publish(bytes.to_vec());
        self.gets(bytes, &[]);
    }

    /// The pull fails with this code, and the image is what it was.
    pub(crate) fn refuses(&self, exit: i32, old: Option<&[u8]>, args: &[&str]) -> String {
        let shown = self.pull(args);
        assert!(shown.starts_with(&format!("exit {exit}\n")), "{shown}");
        match old {
            Some(old) => self.has(old),
            None => assert!(!self.emulator.path(IMAGE).exists()),
        }
        shown
    }

    pub(crate) fn has(&self, bytes: &[u8]) {
        let found = fs::read(self.emulator.path(IMAGE)).unwrap();
        assert!(found == bytes, "{} bytes, {} expected", found.len(), bytes.len());
    }

    /// An instance with data on the image that is there.
    pub(crate) fn with_data(&self, name: &str) {
        let image = self.emulator.path(IMAGE);
        let record = serde_json::json!({
            "schemaVersion": 1,
            "name": name,
            "createdAt": "2026-01-01T00:00:00Z",
            "ports": {},
            "session": {
                "image": {
                    "path": image,
                    "sha256": digest::of_file(&image).unwrap(),
                    "size": image.metadata().unwrap().len(),
                },
                "createdAt": "2026-01-01T00:00:00Z",
            },
        });
        self.emulator.write(&format!("instances/{name}/instance.json"), &record.to_string());
        self.emulator.write(&format!("instances/{name}/overlay.qcow2"), "data");
    }
}
