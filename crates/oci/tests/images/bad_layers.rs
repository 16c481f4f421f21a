//! Layers that are damaged, or have what is not allowed.

use std::fs;

use base::digest;
use oci::{LayerStore, OciError};
use tar::EntryType;
use test_images::{Attributes, Compression, Image, Layer};

/// Returns what is wrong with the last of `layers`.
fn fault(layers: &[Layer]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    layers.iter().fold(Image::new("x", "amd64"), Image::layer).write_docker(&path).unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let error = LayerStore::new(&store).add(&crate::read(&path).unwrap()).unwrap_err().to_string();
    assert_eq!(fs::read_dir(&store).unwrap().count(), layers.len() - 1, "nothing is left of the layer");
    let id = digest::of_bytes(&layers[layers.len() - 1].tar());
    let place = format!("`{}`, layer {} (sha256:{id}): ", path.display(), layers.len());
    error.strip_prefix(&place).unwrap_or_else(|| panic!("{error}")).to_owned()
}

#[test]
fn what_a_layer_must_not_have_is_refused_with_its_path() {
    let long = "x".repeat(256);
    for (layer, expected) in [
        (Layer::new().file("../x", b""), "`../x` leads out of the image".to_owned()),
        (Layer::new().file("a/../../x", b""), "`a/../../x` leads out of the image".to_owned()),
        (Layer::new().hard_link("x", "../etc/passwd"), "`../etc/passwd` leads out of the image".to_owned()),
        (Layer::new().file(".wh...", b""), "invalid whiteout `.wh...`".to_owned()),
        (
            Layer::new().symlink("x", "/etc").file("x/passwd", b""),
            "`x/passwd` leads through the symbolic link `x`".to_owned(),
        ),
        (
            Layer::new().symlink("a/x", "..").file("a/x/x/passwd", b""),
            "`a/x/x/passwd` leads through the symbolic link `a/x`".to_owned(),
        ),
        (
            Layer::new().symlink("x", "/etc").hard_link("y", "x/passwd"),
            "`x/passwd` leads through the symbolic link `x`".to_owned(),
        ),
        (
            Layer::new().device("dev/null"),
            "`dev/null` is a device node, which images must not have".to_owned(),
        ),
        (
            Layer::new().file("x", b"").file("x/y", b""),
            "`x/y` leads through `x`, which is not a directory".to_owned(),
        ),
        (Layer::new().hard_link("x", "none"), "`x` is a hard link to `none`, which is not a file".to_owned()),
        (Layer::new().hard_link("x", "x"), "`x` is a hard link to `x`, which is not a file".to_owned()),
        (
            Layer::new().directory("d").hard_link("x", "d"),
            "`x` is a hard link to `d`, which is not a file".to_owned(),
        ),
        (Layer::new().file(".", b""), "the root of the image is not a directory".to_owned()),
        (Layer::new().symlink("./", "/"), "the root of the image is not a directory".to_owned()),
        (Layer::new().file(&long, b""), format!("invalid name `{long}`")),
        (
            Layer::new().entry(EntryType::new(b'V'), "x", "", b"", &Attributes::mode(0)),
            "invalid tar archive at byte 512: an entry of the unknown type 0x56".to_owned(),
        ),
    ] {
        assert_eq!(fault(&[layer]), expected);
    }
}

#[test]
fn what_depends_on_a_lower_layer_is_refused_with_it() {
    let lower = || Layer::new().symlink("a", "b").symlink("b", "a").file("file", b"").directory("dir");
    for (upper, expected) in [
        (Layer::new().file("a/x", b""), "`a/x` leads through the symbolic link `b`"),
        (Layer::new().file("file/x", b""), "`file/x` leads through `file`, which is not a directory"),
        (Layer::new().hard_link("x", "dir"), "`x` is a hard link to `dir`, which is not a file"),
        (
            Layer::new().whiteout("", "file").hard_link("x", "file"),
            "`x` is a hard link to `file`, which is not a file",
        ),
    ] {
        let found = fault(&[lower(), upper]);
        assert!(found == expected || found == expected.replace("link `b`", "link `a`"), "{found}");
    }
}

/// Writes an OCI layout whose layer `change` has changed, and returns the error.
fn damaged(compression: Compression, change: impl Fn(&mut Vec<u8>)) -> OciError {
    let dir = tempfile::tempdir().unwrap();
    let layer = Layer::new().file("x", &vec![b'x'; 100_000]);
    let layout = dir.path().join("layout");
    let image = Image::new("x", "amd64").layer(&layer).compressed(compression);
    image.write_layout(&layout).unwrap();
    let blob =
        layout.join("blobs/sha256").join(digest::of_bytes(&compression.pack(&layer.tar())).to_string());
    let mut bytes = fs::read(&blob).unwrap();
    change(&mut bytes);
    fs::write(&blob, bytes).unwrap();
    let image = crate::read(&layout);
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    let error = image.and_then(|image| LayerStore::new(&store).add(&image)).unwrap_err();
    assert_eq!(fs::read_dir(&store).unwrap().count(), 0);
    error
}

#[test]
fn a_layer_with_a_wrong_digest_is_refused() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let error = damaged(compression, |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        });
        let error = error.to_string();
        assert!(error.contains("layer 1 (sha256:") && error.contains("its digest is sha256:"), "{error}");
    }
}

#[test]
fn a_truncated_layer_is_refused_with_its_length() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let error = damaged(compression, |bytes| bytes.truncate(20)).to_string();
        assert!(error.contains("`: layer 1 is truncated: it has 20 of "), "{error}");
    }
}

/// An archive of `docker save` whose layer `l` is `bytes`, and whose configuration says `id`.
fn saved(bytes: &[u8], id: digest::Sha256) -> String {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        r#"{{"os":"linux","architecture":"amd64","rootfs":{{"type":"layers","diff_ids":["sha256:{id}"]}}}}"#
    );
    let manifest = br#"[{"Config":"c","RepoTags":["x:1"],"Layers":["l"]}]"#;
    let tar =
        Layer::new().file("c", config.as_bytes()).file("l", bytes).file("manifest.json", manifest).tar();
    let path = dir.path().join("image.tar");
    fs::write(&path, tar).unwrap();
    LayerStore::new(dir.path()).add(&crate::read(&path).unwrap()).unwrap_err().to_string()
}

#[test]
fn a_layer_whose_digest_only_the_configuration_has_is_verified_too() {
    let layer = Layer::new().file("x", &vec![b'x'; 100_000]).tar();
    let (id, other) = (digest::of_bytes(&layer), digest::of_bytes(b""));
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let packed = compression.pack(&layer);
        let error = saved(&packed, other);
        assert!(error.contains(&format!("its digest is sha256:{id}, not sha256:{other}")), "{error}");
        let error = saved(&packed[..packed.len() - 20], id);
        let expected =
            if compression == Compression::None { "its digest is sha256:" } else { "cannot unpack it: " };
        assert!(error.contains(expected), "{error}");
    }
    let error = saved(b"BZh9", id);
    assert!(error.contains("cannot unpack it: it is compressed with bzip2"), "{error}");
    let error = saved(&[b'x'; 700], digest::of_bytes(&[b'x'; 700]));
    assert!(error.contains("invalid tar archive at byte 0: a header with a wrong checksum"), "{error}");
}
