//! The tree that overlayfs makes of our layers is the one that `umoci unpack` gives. Both need root: for owners, whiteouts and mounts.

use std::path::Path;

use base::process::Cmd;
use oci::LayerStore;
use test_images::{Attributes, Compression, Image, Layer};

use crate::tree;

/// Unpacks `layers` by both ways and compares all of both trees.
async fn same_tree(layers: &[Layer]) {
    assert!(base::advice::is_root(), "this test needs root, as the comparison sets owners and mounts layers");
    let dir = tempfile::tempdir().unwrap();
    let image = layers.iter().fold(Image::new("t", "amd64"), Image::layer).compressed(Compression::Gzip);
    let layout = dir.path().join("layout");
    image.write_layout(&layout).unwrap();
    let expected = dir.path().join("expected");
    let reference = format!("{}:t", layout.display());
    Cmd::new("umoci").args(["unpack", "--image", &reference]).arg(&expected).output().await.unwrap();

    let store = dir.path().join("store");
    std::fs::create_dir(&store).unwrap();
    let normalised = LayerStore::new(&store).add(&crate::read(&layout).unwrap()).unwrap();
    let bottom = dir.path().join("bottom");
    std::fs::create_dir(&bottom).unwrap();
    let mut lower = vec![bottom.display().to_string()];
    for (index, layer) in normalised.iter().enumerate() {
        let unpacked = dir.path().join(format!("layer-{index}"));
        std::fs::create_dir(&unpacked).unwrap();
        unpack(&layer.path, &unpacked).await;
        lower.insert(0, unpacked.display().to_string());
    }
    let merged = dir.path().join("merged");
    std::fs::create_dir(&merged).unwrap();
    let options = format!("lowerdir={}", lower.join(":"));
    Cmd::new("mount").args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged).output().await.unwrap();
    let found = tree::list(&merged);
    Cmd::new("umount").arg(&merged).output().await.unwrap();
    tree::assert_equal(&found, &tree::list(&expected.join("rootfs")));
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
            .file("kind/dir-to-file/again", b"a directory again")
            .directory("made-and-gone")
            .file("usr/bin/fresh", b"fresh"),
    ]
}

#[tokio::test]
async fn a_tree_is_the_one_that_umoci_unpacks() {
    let mut layers = everything();
    // A directory where a lower layer has a file has to be there before what is in it.
    layers[2] = Layer::new().directory("kind/dir-to-file").file("x", b"x");
    same_tree(&layers).await;
}
