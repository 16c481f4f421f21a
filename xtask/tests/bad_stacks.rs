//! Stacks that cannot be built: each is refused with the place of the fault, and nothing is left of the attempt.

#![expect(clippy::unwrap_used, reason = "what a test cannot prepare fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use base::process::{Cmd, status_text};
use serde_json::json;
use tempfile::TempDir;
use test_images::{Compression, Image, Layer};

/// A stack of one container.
const WEB: &str = "\
services:
  web:
    image: web:1
    ports: [\"8080:80\"]
    x-emulator: {health: /}
";

/// A directory with everything that a check reads and writes.
struct Attempt {
    dir: TempDir,
}

impl Attempt {
    /// One for the compose file with this text.
    fn new(compose: &str) -> Self {
        let attempt = Self { dir: tempfile::tempdir().unwrap() };
        for name in ["cache", "temporary", "programs"] {
            fs::create_dir(attempt.path(name)).unwrap();
        }
        fs::write(attempt.path("compose.yaml"), compose).unwrap();
        attempt
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes the archive of the image.
    fn archive(self, bytes: &[u8]) -> Self {
        fs::write(self.path("web.tar"), bytes).unwrap();
        self
    }

    /// Runs `cargo xtask stack check`, and returns how it ended and what it printed, without what differs from run to run.
    async fn refused(&self) -> String {
        let mut check = Cmd::new(env!("CARGO_BIN_EXE_xtask"));
        check = check.args(["--quiet", "stack", "check", "--arch", "amd64"]).arg(self.path("compose.yaml"));
        if self.path("web.tar").exists() {
            check = check.arg("--image").arg(format!("web={}", self.path("web.tar").display()));
        }
        // Without programs: an image that is missing is not looked for elsewhere.
        let check = check
            .env("PATH", self.path("programs"))
            .env("TMPDIR", self.path("temporary"))
            .env("STACK_EMULATOR_CACHE", self.path("cache"))
            .env("STACK_EMULATOR_HOME", self.path("home"));
        let finished = check.finished().await.unwrap();
        self.assert_nothing_left();
        assert!(finished.stdout.is_empty(), "{}", String::from_utf8_lossy(&finished.stdout));
        let printed = String::from_utf8(finished.stderr).unwrap();
        let printed = printed.replace(&format!("{}/", self.dir.path().display()), "");
        format!("{}\n{}", status_text(finished.status), without_digests(&printed))
    }

    /// Locks stay: removing one would let two builds hold it at once. All layers of an image stay for the next attempt.
    fn assert_nothing_left(&self) {
        let mut left = files_below(&self.path("temporary"));
        let cache = files_below(&self.path("cache"));
        let is_kept = |path: &PathBuf| {
            path.extension().is_some_and(|name| name == "lock") || path.with_file_name("layers.json").exists()
        };
        left.extend(cache.into_iter().filter(|path| !is_kept(path)));
        assert!(left.is_empty(), "left behind: {left:?}");
        assert!(!self.path("home").exists());
        let mark = self.dir.path().as_os_str().as_bytes();
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
        let belongs = |dir: &PathBuf| {
            let environment = fs::read(dir.join("environ")).unwrap_or_default();
            environment.windows(mark.len()).any(|part| part == mark)
        };
        assert_eq!(processes.filter(belongs).collect::<Vec<_>>(), Vec::<PathBuf>::new(), "still running");
    }
}

/// Files below a directory, and directories without any.
fn files_below(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let below = if path.is_dir() { files_below(&path) } else { Vec::new() };
        // The directory of all layers stays.
        if below.is_empty() && !path.ends_with("layers") { found.push(path) } else { found.extend(below) }
    }
    found
}

/// Shortens digests: they say nothing to a reader.
fn without_digests(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_hexdigit();
    let mut parts = text.split("sha256:");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "sha256:…" + part.trim_start_matches(is_digit))
}

/// An image with these layers.
fn image(layers: &[Layer]) -> Image {
    let image = Image::new("web:1", "amd64").config(json!({"Cmd": ["/bin/web"]}));
    layers.iter().fold(image, Image::layer)
}

/// An attempt whose image has a good layer, and this one.
fn with_layer(layer: Layer) -> Attempt {
    let image = image(&[Layer::new().file("bin/web", b"web"), layer]);
    Attempt::new(WEB).archive(&Image::docker(&[image]))
}

fn no_image() -> Attempt {
    Attempt::new(WEB).archive(&[b'x'; 2048])
}

fn wrong_architecture() -> Attempt {
    let image = Image::new("web:1", "arm64").layer(&Layer::new().file("bin/web", b"web"));
    Attempt::new(WEB).archive(&Image::docker(&[image]))
}

fn wrong_digest() -> Attempt {
    let attempt = with_layer(Layer::new().file("text", b"as it was built"));
    let mut archive = fs::read(attempt.path("web.tar")).unwrap();
    let at = archive.windows(8).position(|part| part == b"as it wa").unwrap();
    archive[at] = b'A';
    attempt.archive(&archive)
}

/// The layout of an image, one of whose layers ends too early.
fn truncated_layer() -> Attempt {
    let attempt = Attempt::new(WEB);
    let layer = Layer::new().file("text", &[b'x'; 4096]);
    let layout = attempt.path("web.tar");
    let blob = layout.join(format!("blobs/sha256/{}", base::digest::of_bytes(&layer.tar())));
    image(&[Layer::new().file("bin/web", b"web"), layer]).write_layout(&layout).unwrap();
    fs::File::options().write(true).open(blob).unwrap().set_len(1000).unwrap();
    attempt
}

fn empty_configuration() -> Attempt {
    let manifest = br#"[{"Config":"config.json","RepoTags":["web:1"],"Layers":[]}]"#;
    let archive = Layer::new().file("config.json", b"").file("manifest.json", manifest).tar();
    Attempt::new(WEB).archive(&archive)
}

fn good() -> Vec<u8> {
    Image::docker(&[image(&[Layer::new().file("bin/web", b"web")])])
}

fn two_services_with_one_port() -> Attempt {
    Attempt::new(&format!("{WEB}  admin:\n    image: web:1\n    ports: [\"8080:81\"]\n")).archive(&good())
}

fn small_disk() -> Attempt {
    let zeroes =
        image(&[Layer::new().file("bin/web", b"web"), Layer::new().file("zeroes", &vec![0; 130 << 20])]);
    let compose = format!("{WEB}x-emulator:\n  machine: {{diskGib: 1}}\n");
    Attempt::new(&compose).archive(&Image::docker(&[zeroes.compressed(Compression::Zstd)]))
}

#[tokio::test]
async fn a_bad_stack_is_refused_with_the_place_and_leaves_nothing() {
    let attempts = [
        ("a file that is not an archive", no_image()),
        ("another architecture", wrong_architecture()),
        ("a layer with a wrong digest", wrong_digest()),
        ("a truncated layer", truncated_layer()),
        ("a path that leads out of the image", with_layer(Layer::new().file("a/../../x", b""))),
        (
            "a path through an absolute link",
            with_layer(Layer::new().symlink("x", "/etc").file("x/passwd", b"")),
        ),
        ("a device node", with_layer(Layer::new().device("dev/null"))),
        ("an empty configuration", empty_configuration()),
        ("an unknown key", Attempt::new(&WEB.replace("image:", "imgae: x\n    image:")).archive(&good())),
        ("a file that is not YAML", Attempt::new(&WEB.replace("    image:", "\timage:")).archive(&good())),
        (
            "a path of the host as a volume",
            Attempt::new(&WEB.replace("    ports:", "    volumes: [\"./src:/src\"]\n    ports:"))
                .archive(&good()),
        ),
        ("one port of the host for two services", two_services_with_one_port()),
        ("a missing image", Attempt::new(WEB)),
        ("a disk that is too small", small_disk()),
    ];
    let mut text = String::new();
    for (what, attempt) in attempts {
        writeln!(text, "# {what}: {}", attempt.refused().await).unwrap();
    }
    insta::assert_snapshot!(text, @r#"
    # a file that is not an archive: exited with status 1
    error: `web.tar` is not an image: invalid tar archive at byte 0: a header with a wrong checksum

    hint: write the archive again with `docker save -o FILE IMAGE`

    # another architecture: exited with status 1
    error: the image in `web.tar` is for linux/arm64, not for linux/amd64

    hint: make it for that platform: `docker build --platform linux/amd64 …` or `docker pull --platform linux/amd64 …`, then `docker save -o FILE IMAGE`

    # a layer with a wrong digest: exited with status 1
    error: `web.tar`, layer 2 (sha256:…): its digest is sha256:…, not sha256:…

    hint: write the archive again with `docker save -o FILE IMAGE`

    # a truncated layer: exited with status 1
    error: `web.tar`: layer 2 is truncated: it has 1000 of 5632 bytes

    hint: write the archive again with `docker save -o FILE IMAGE`

    # a path that leads out of the image: exited with status 1
    error: `web.tar`, layer 2 (sha256:…): `a/../../x` leads out of the image

    hint: build the image without it: a machine unpacks no such layer

    # a path through an absolute link: exited with status 1
    error: `web.tar`, layer 2 (sha256:…): `x/passwd` leads through the symbolic link `x`

    hint: build the image without it: a machine unpacks no such layer

    # a device node: exited with status 1
    error: `web.tar`, layer 2 (sha256:…): `dev/null` is a device node, which images must not have

    hint: build the image without it: a machine unpacks no such layer

    # an empty configuration: exited with status 1
    error: `web.tar`: the configuration of the image is invalid: it is empty

    hint: write the archive again with `docker save -o FILE IMAGE`

    # an unknown key: exited with status 1
    error: compose.yaml:3:5: `services.web.imgae`: unknown key; did you mean `image`?

    hint: `docs/compose.md` lists what of a compose file is applied

    # a file that is not YAML: exited with status 1
    error: compose.yaml:3:2: tabs disallowed within this context (block indentation)

    # a path of the host as a volume: exited with status 1
    error: compose.yaml:4:15: `services.web.volumes[0]`: the path "./src" of the host is not in the machine; use a named volume for data, `configs` for single files, or copy the files into the image

    hint: `docs/compose.md` lists what of a compose file is applied

    # one port of the host for two services: exited with status 1
    error: compose.yaml:8:13: `services.admin.ports[0]`: port 8080 of the host is published by `web` already, in line 4; choose another port in front of the colon

    hint: `docs/compose.md` lists what of a compose file is applied

    # a missing image: exited with status 1
    error: there is no image `web:1` for the service `web`

    hint: `docker build -t web:1 .` or `docker pull web:1`, then `docker save -o web.tar web:1` and `--image web=web.tar`

    # a disk that is too small: exited with status 1
    error: compose.yaml:7:22: `x-emulator.machine.diskGib`: a disk of 1 GiB is too small for the layers of the containers, which have 130 MiB; write 2 or more

    hint: `docs/compose.md` lists what of a compose file is applied
    "#);
}

#[tokio::test]
async fn layers_that_a_check_has_prepared_stay_for_the_build() {
    let attempt = Attempt::new(WEB).archive(&good());
    let check = Cmd::new(env!("CARGO_BIN_EXE_xtask"));
    let check =
        check.args(["--quiet", "stack", "check", "--arch", "amd64"]).arg(attempt.path("compose.yaml"));
    let check = check.arg("--image").arg(attempt.path("web.tar"));
    let check =
        check.env("STACK_EMULATOR_CACHE", attempt.path("cache")).env("TMPDIR", attempt.path("temporary"));
    let printed = check.text().await.unwrap();
    assert!(printed.contains("services  web"), "{printed}");
    let kept = files_below(&attempt.path("cache"));
    assert!(kept.iter().any(|path| path.ends_with("layers.json")), "{kept:?}");
    assert_eq!(files_below(&attempt.path("temporary")), Vec::<PathBuf>::new());
}
