//! Which layers are written, and what their files are.

use std::fs;
use std::path::Path;

use base::digest;
use oci::{LayerStore, Normalised};
use test_images::{Compression, Image, Layer};

fn add(store: &mut LayerStore, dir: &Path, layers: &[&Layer], compression: Compression) -> Vec<Normalised> {
    let path = dir.join("image.tar");
    let image = layers.iter().fold(Image::new("x", "amd64"), |image, layer| image.layer(layer));
    image.compressed(compression).write_docker(&path).unwrap();
    store.add(&crate::read(&path).unwrap()).unwrap()
}

fn names(entries: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(entries);
    let entries = archive.entries().unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| {
            format!(
                "{} {}",
                char::from(entry.header().entry_type().as_byte()),
                entry.path().unwrap().display()
            )
        })
        .collect()
}

#[test]
fn layers_that_images_share_are_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut store = LayerStore::new(&out);
    let (base, other) = (Layer::new().file("base", b"b"), Layer::new().file("other", b"o"));
    let (one, two) = (Layer::new().file("one", b"1"), Layer::new().file("two", b"2"));
    let first = add(&mut store, dir.path(), &[&base, &one], Compression::None);
    let second = add(&mut store, dir.path(), &[&base, &two], Compression::Gzip);
    let third = add(&mut store, dir.path(), &[&other, &one], Compression::Zstd);
    assert_eq!(first[0], second[0]);
    assert_eq!(first[1], third[1], "the layer says nothing about those below it");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 4);
    for layer in first.iter().chain(&second).chain(&third) {
        assert_eq!(layer.digest, digest::of_file(&layer.path).unwrap());
        assert_eq!(layer.size, fs::metadata(&layer.path).unwrap().len());
        assert_eq!(layer.path.file_name().unwrap().to_str().unwrap(), format!("layer-{}.tar", layer.diff_id));
    }
}

#[test]
fn a_layer_that_depends_on_lower_ones_has_a_file_for_each() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = LayerStore::new(dir.path());
    let (base, other) = (Layer::new().file("file", b"b"), Layer::new().file("file", b"o"));
    let link = Layer::new().hard_link("link", "file");
    let one = add(&mut store, dir.path(), &[&base, &link], Compression::None);
    let two = add(&mut store, dir.path(), &[&other, &link], Compression::None);
    assert_eq!(one[1].diff_id, two[1].diff_id);
    assert_ne!((&one[1].path, one[1].digest), (&two[1].path, two[1].digest));
    assert_eq!(names(&fs::read(&one[1].path).unwrap()), ["5 ./", "0 ./file", "1 ./link"]);
}

#[test]
fn equal_layers_give_equal_bytes_in_the_order_of_their_paths() {
    let one = Layer::new()
        .directory("a")
        .file("a/x", b"x")
        .file("a-b", b"y")
        .hard_link("0", "a/x")
        .file("a-b", b"last");
    let bytes = || {
        let dir = tempfile::tempdir().unwrap();
        let layers = add(&mut LayerStore::new(dir.path()), dir.path(), &[&one], Compression::None);
        fs::read(&layers[0].path).unwrap()
    };
    assert_eq!(bytes(), bytes());
    assert_eq!(names(&bytes()), ["5 ./", "0 ./0", "5 ./a/", "1 ./a/x", "0 ./a-b"]);
}

#[test]
fn a_whiteout_that_hides_nothing_is_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let base = Layer::new().file("d/x", b"");
    let upper = Layer::new().whiteout("d", "x").whiteout("d", "y").whiteout("none", "z").whiteout("d/x", "w");
    let layers = add(&mut LayerStore::new(dir.path()), dir.path(), &[&base, &upper], Compression::None);
    assert_eq!(names(&fs::read(&layers[1].path).unwrap()), ["5 ./", "5 ./d/", "3 ./d/x"]);
}

#[test]
fn layers_below_an_opaque_root_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let (base, upper) = (Layer::new().file("x", b""), Layer::new().opaque("").file("y", b""));
    let layers = add(&mut LayerStore::new(dir.path()), dir.path(), &[&base, &upper], Compression::None);
    assert_eq!(layers.len(), 1);
    assert_eq!(layers[0].diff_id, digest::of_bytes(&upper.tar()));
}
