//! The tree that overlayfs shows of our layers is the one that `umoci unpack` gives.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use base::process::{Cmd, ProcessError};
use oci::{LayerStore, OciError};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use test_images::{Attributes, Compression, Image, Layer};
use tokio::runtime::Runtime;

use crate::tree;

/// Unpacks `layers` by both ways and compares all of both trees.
async fn same_tree(layers: &[Layer]) {
    let dir = tempfile::tempdir().unwrap();
    let layout = layout(dir.path(), layers);
    let image = crate::read(&layout).unwrap();
    let found = merged(dir.path(), &image).await.unwrap();
    let expected = by_umoci(dir.path(), &layout).await.unwrap();
    tree::assert_equal(&found, &expected);
}

fn layout(dir: &Path, layers: &[Layer]) -> PathBuf {
    let path = dir.join("layout");
    let image = layers.iter().fold(Image::new("t", "amd64"), Image::layer);
    image.compressed(Compression::Gzip).write_layout(&path).unwrap();
    path
}

/// Lists the tree that umoci unpacks.
async fn by_umoci(dir: &Path, layout: &Path) -> Result<String, ProcessError> {
    let to = dir.join("umoci");
    let reference = format!("{}:t", layout.display());
    Cmd::new("umoci").args(["unpack", "--image", &reference]).arg(&to).output().await?;
    Ok(tree::list(&to.join("rootfs")))
}

/// Lists the tree that overlayfs shows of our layers.
async fn merged(dir: &Path, image: &oci::Image) -> Result<String, OciError> {
    let create = |name: &str| {
        let path = dir.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    };
    let layers = LayerStore::new(create("store")).add(image)?;
    // One directory alone is not an overlay.
    let mut lower = vec![create("bottom").display().to_string()];
    for (index, layer) in layers.iter().enumerate() {
        let unpacked = create(&index.to_string());
        unpack(&layer.path, &unpacked).await;
        lower.insert(0, unpacked.display().to_string());
    }
    let to = create("merged");
    let options = format!("lowerdir={}", lower.join(":"));
    Cmd::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&to).output().await.unwrap();
    // Once it is open, it needs no place: nothing is left when this test is killed.
    let open = File::open(&to).unwrap();
    Cmd::new("umount").arg("--lazy").arg(&to).output().await.unwrap();
    Ok(tree::list(Path::new(&format!("/proc/self/fd/{}/.", open.as_raw_fd()))))
}

/// Unpacks a layer as it is unpacked when an image of a machine is built.
async fn unpack(layer: &Path, into: &Path) {
    let options = [
        "--extract",
        "--preserve-permissions",
        "--same-owner",
        "--numeric-owner",
        "--xattrs",
        "--xattrs-include=*",
    ];
    let said = Cmd::new("tar").args(options).arg("--file").arg(layer).arg("--directory").arg(into);
    let finished = said.finished().await.unwrap();
    assert!(
        finished.status.success() && finished.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&finished.stderr)
    );
}

/// An image with everything that layers can say.
fn everything() -> Vec<Layer> {
    let long = format!("long/{}/{}", "d".repeat(120), "f".repeat(200));
    let capability = b"\x01\x00\x00\x02\x0a\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    vec![
        Layer::new()
            .directory_with("./", &Attributes::mode(0o751).owner(3, 4))
            .directory_with("etc/", &Attributes::mode(0o700).owner(5, 6).xattr("user.kind", b"a=b"))
            .file_with("etc/shadow", b"x", &Attributes::mode(0o640).owner(0, 42))
            .file_with(
                "percent",
                b"",
                &Attributes::mode(0o600).owner(3_000_000, 4_000_000_000).xattr("user.a%b", b"%3D"),
            )
            .directory("usr")
            .directory("usr/bin")
            .symlink("bin", "usr/bin")
            .file_with("usr/bin/su", b"su", &Attributes::mode(0o4755))
            .file_with("usr/bin/wall", b"wall", &Attributes::mode(0o2755).owner(0, 5))
            .file_with(
                "usr/bin/ping",
                b"ping",
                &Attributes::mode(0o755).xattr("security.capability", capability),
            )
            .directory_with("tmp", &Attributes::mode(0o1777))
            .file("opaque/old", b"old")
            .file("opaque/deep/old", b"old")
            .file("gone/a", b"a")
            .file("gone/b", b"b")
            .file("links/a", b"shared")
            .hard_link("links/b", "links/a")
            .hard_link("links/c", "./links/a")
            .file("pair/a", b"pair")
            .hard_link("pair/b", "pair/a")
            .file("lone", b"lone")
            .file("kind/file-to-dir", b"x")
            .file("kind/dir-to-file/x", b"x")
            .file("kind/dir-to-link/x", b"x")
            .symlink("kind/link-to-dir", "dir-to-file")
            .fifo("fifo")
            .symlink("absolute", "/etc/shadow")
            .symlink("dangling", "../../../nowhere")
            .file(&long, b"long"),
        Layer::new()
            .file("etc/new", b"new")
            .file("bin/tool", b"through a link of the lower layer")
            .file("opaque/new", b"new")
            .opaque("opaque")
            .whiteout("gone", "a")
            .whiteout("gone", "never")
            .whiteout("nowhere", "x")
            .hard_link("links/d", "links/b")
            .whiteout("pair", "a")
            .hard_link("other/lone", "lone")
            .directory("kind/file-to-dir")
            .file("kind/file-to-dir/x", b"y")
            .file("kind/dir-to-file", b"y")
            .symlink("kind/dir-to-link", "file-to-dir")
            .directory("kind/link-to-dir")
            .file("kind/link-to-dir/y", b"y")
            .symlink("link", &"t/".repeat(90))
            .hard_link("link-too", "link"),
        Layer::new()
            .whiteout("links", "a")
            .file("usr/bin/su", b"new su")
            .file("opaque/third", b"third")
            .directory("kind/dir-to-file")
            .file("kind/dir-to-file/again", b"a directory again")
            .file("usr/bin/fresh", b"fresh"),
    ]
}

/// An image whose upper layers change what lower ones have, attributes included.
fn changes() -> Vec<Layer> {
    let deep = |letter: &str| format!("long/{}/{}", letter.repeat(150), letter.repeat(250));
    let capability = b"\x01\x00\x00\x02\x0a\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
    let own = |mode: u32| Attributes::mode(mode).owner(9, 10);
    vec![
        Layer::new()
            .file_with("bin/setuid", b"setuid", &own(0o4711))
            .file_with("bin/setgid", b"setgid", &own(0o2711).xattr("user.kept", b"kept"))
            .file_with("bin/capable", b"capable", &own(0o755).xattr("security.capability", capability))
            .file_with("bin/changed", b"changed", &own(0o6755).xattr("user.old", b"old"))
            .directory_with("shared", &own(0o3775).xattr("user.old", b"old"))
            .file("shared/kept", b"kept")
            .file("away/deep/er/file", b"gone with its directories")
            .file("again/file", b"old")
            .file("again/dir/old", b"old")
            .file("emptied/one", b"1")
            .file("emptied/dir/two", b"2")
            .symlink("emptied/link", "one")
            .file(&deep("a"), b"a long path"),
        Layer::new()
            // Links to files of the layer below, with all their attributes.
            .hard_link("links/setuid", "bin/setuid")
            .hard_link("links/setgid", "bin/setgid")
            .hard_link("links/capable", "bin/capable")
            .hard_link(&deep("b"), &deep("a"))
            // New attributes of what is there.
            .file_with("bin/changed", b"changed", &own(0o755).xattr("user.new", b"new"))
            .directory_with("shared", &Attributes::mode(0o1700).owner(11, 12).xattr("user.new", b"new"))
            .whiteout("", "away")
            // Hidden, and there again.
            .whiteout("again", "file")
            .file("again/file", b"new")
            .whiteout("again", "dir")
            .file("again/dir/new", b"new")
            .opaque("emptied")
            .directory("emptied/dir")
            .opaque("new")
            .file("new/file", b"an opaque directory that hides nothing"),
        Layer::new()
            .whiteout("bin", "setuid")
            .hard_link("links/again", "links/setuid")
            .file_with("emptied/one", b"one again", &own(0o4600))
            .file("away/deep/file", b"there again")
            .whiteout(&format!("long/{}", "a".repeat(150)), &"a".repeat(250)),
    ]
}

/// Does `work` of the test `name` as root: here, or in a process of this program that `sudo` starts.
fn as_root(name: &str, work: impl FnOnce(&Runtime)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if base::advice::is_root() {
        work(&runtime);
    } else {
        let program = std::env::current_exe().unwrap();
        let again = Cmd::new("sudo").arg("-n").arg(program).args(["--exact", name]);
        runtime.block_on(again.output()).expect("owners and mounts need root, or sudo without a password");
    }
}

#[test]
fn a_tree_is_the_one_that_umoci_unpacks() {
    as_root("umoci::a_tree_is_the_one_that_umoci_unpacks", |runtime| {
        runtime.block_on(same_tree(&everything()));
    });
}

#[test]
fn changes_of_upper_layers_are_those_that_umoci_unpacks() {
    as_root("umoci::changes_of_upper_layers_are_those_that_umoci_unpacks", |runtime| {
        runtime.block_on(same_tree(&changes()));
    });
}

/// The paths of random layers.
const PATHS: [&str; 8] = ["a", "a/b", "a/b/c", "b", "b/c", "c", "a/c", "b/c/a"];

/// A kind of entry, two paths, and a number.
type Choice = (u8, &'static str, &'static str, u32);

fn choice() -> impl Strategy<Value = Choice> {
    (0..12_u8, proptest::sample::select(&PATHS), proptest::sample::select(&PATHS), 0..0o77_u32)
}

/// Adds an entry of any kind.
fn entry(layer: Layer, (kind, path, other, number): Choice) -> Layer {
    let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
    match kind {
        0..=3 => layer.file(path, number.to_string().as_bytes()),
        4..=5 => layer.directory_with(path, &Attributes::mode(0o700 + number).owner(number, 1)),
        6 => layer.symlink(path, other),
        7..=8 => layer.hard_link(path, other),
        9..=10 => layer.whiteout(dir, name),
        _ => layer.opaque(path),
    }
}

#[test]
fn any_tree_is_the_one_that_umoci_unpacks() {
    as_root("umoci::any_tree_is_the_one_that_umoci_unpacks", |runtime| {
        let config = ProptestConfig {
            cases: 12,
            max_global_rejects: 10_000,
            source_file: Some(file!()),
            ..ProptestConfig::default()
        };
        let layers = proptest::collection::vec(proptest::collection::vec(choice(), 1..7), 1..4);
        let same = |layers: Vec<Vec<Choice>>| {
            let layers: Vec<Layer> =
                layers.into_iter().map(|layer| layer.into_iter().fold(Layer::new(), entry)).collect();
            let dir = tempfile::tempdir().unwrap();
            let layout = layout(dir.path(), &layers);
            let image = crate::read(&layout).unwrap();
            let found = runtime.block_on(merged(dir.path(), &image));
            prop_assume!(found.is_ok());
            let expected = runtime.block_on(by_umoci(dir.path(), &layout));
            prop_assume!(expected.is_ok());
            tree::assert_equal(&found.unwrap(), &expected.unwrap());
            Ok(())
        };
        TestRunner::new(config).run(&layers, same).unwrap();
    });
}
