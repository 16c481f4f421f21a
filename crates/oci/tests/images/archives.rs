//! Archives of every form, and what is wrong with others.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base::digest;
use oci::{Archive, Healthcheck};
use serde_json::json;
use tempfile::TempDir;
use test_images::{Compression, Image, Layer};

fn web(architecture: &str) -> Image {
    let config = json!({
        "Entrypoint": ["/bin/web"], "Cmd": null, "Env": ["PATH=/bin"], "User": "web:web", "WorkingDir": "/srv",
        "ExposedPorts": {"8080/tcp": {}}, "Volumes": {"/data": {}}, "StopSignal": "SIGQUIT", "Labels": null,
        "Healthcheck": {"Test": ["CMD", "/bin/ok"], "Interval": 1_500_000_000_u64, "Retries": 3},
    });
    let layer = Layer::new().file("bin/web", architecture.as_bytes());
    Image::new("web:1", architecture)
        .config(config)
        .layer(&layer)
        .layer(&Layer::new().file("top", b"1"))
        .layer(&layer)
}

fn written(dir: &TempDir, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join("archive");
    fs::write(&path, bytes).unwrap();
    path
}

/// Writes the layers of the image, which verifies them.
fn layers(image: &oci::Image) -> usize {
    let dir = tempfile::tempdir().unwrap();
    oci::LayerStore::new(dir.path()).add(image).unwrap().len()
}

#[test]
fn an_image_is_the_same_in_every_form_of_archive() {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    let id = digest::of_bytes(&web("amd64").config_file());
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let images = [web("amd64").compressed(compression)];
        images[0].write_layout(&layout).unwrap();
        let mut paths = vec![layout.clone()];
        for (form, bytes) in
            [Image::docker(&images), Image::docker_25(&images), Image::oci(&images)].iter().enumerate()
        {
            for outer in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let path = dir.path().join(format!("{form}-{outer:?}"));
                fs::write(&path, outer.pack(bytes)).unwrap();
                paths.push(path);
            }
        }
        for path in paths {
            let image = crate::read(&path).unwrap();
            assert_eq!((image.id, image.layers.len(), layers(&image)), (id, 3, 3), "{}", path.display());
            assert_eq!(image.reference.as_deref(), Some("web:1"));
        }
    }
}

#[test]
fn the_configuration_is_read_with_all_that_docker_adds() {
    let dir = tempfile::tempdir().unwrap();
    let config = crate::read(&written(&dir, &Image::docker(&[web("amd64")]))).unwrap().config;
    assert_eq!(config.entrypoint, Some(vec!["/bin/web".to_owned()]));
    assert_eq!((config.cmd, config.env), (None, vec!["PATH=/bin".to_owned()]));
    assert_eq!((config.user.as_str(), config.working_dir.as_str()), ("web:web", "/srv"));
    assert_eq!(
        (config.exposed_ports, config.volumes),
        (vec!["8080/tcp".to_owned()], vec!["/data".to_owned()])
    );
    assert_eq!((config.stop_signal.as_deref(), config.labels.len()), (Some("SIGQUIT"), 0));
    let healthcheck = Healthcheck {
        test: vec!["CMD".to_owned(), "/bin/ok".to_owned()],
        interval: Duration::from_millis(1500),
        retries: 3,
        ..Healthcheck::default()
    };
    assert_eq!(config.healthcheck, Some(healthcheck));
}

#[test]
fn a_name_selects_one_of_several_images() {
    let dir = tempfile::tempdir().unwrap();
    let other = Image::new("docker.io/library/db:latest", "amd64").layer(&Layer::new().file("db", b"db"));
    for bytes in [Image::docker(&[web("amd64"), other.clone()]), Image::oci(&[web("amd64"), other.clone()])] {
        let path = written(&dir, &bytes);
        let archive = Archive::open(&path, dir.path()).unwrap();
        let mut names = archive.names();
        names.sort();
        assert_eq!(names, ["docker.io/library/db:latest", "web:1"]);
        let image = archive.image(Some("db"), "amd64").unwrap();
        assert_eq!(image.id, digest::of_bytes(&other.config_file()));
        let error = archive.image(None, "amd64").unwrap_err().to_string();
        assert!(error.contains("has several images; name one of them: "), "{error}");
        let error = archive.image(Some("web"), "amd64").unwrap_err().to_string();
        assert!(error.contains("has no image `web`; it has "), "{error}");
    }
}

#[test]
fn the_image_for_the_platform_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, &Image::oci(&[web("amd64"), web("arm64")]));
    let archive = Archive::open(&path, dir.path()).unwrap();
    for architecture in ["amd64", "arm64"] {
        let image = archive.image(None, architecture).unwrap();
        assert_eq!(image.id, digest::of_bytes(&web(architecture).config_file()));
    }
    let shown = path.display();
    let error = archive.image(None, "riscv64").unwrap_err().to_string();
    assert_eq!(
        error,
        format!("the image in `{shown}` is for linux/amd64, linux/arm64, not for linux/riscv64")
    );
    for bytes in [Image::oci(&[web("amd64")]), Image::docker(&[web("amd64")])] {
        let error =
            Archive::open(&written(&dir, &bytes), dir.path()).unwrap().image(None, "arm64").unwrap_err();
        let expected = format!("the image in `{shown}` is for linux/amd64, not for linux/arm64");
        assert_eq!(error.to_string(), expected);
    }
}

#[test]
fn what_is_not_an_image_is_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let reason = |path: &Path| {
        let error = crate::read(path).unwrap_err().to_string();
        let (place, reason) = error.split_once("` is not an image: ").unwrap_or_else(|| panic!("{error}"));
        assert_eq!(place, format!("`{}", path.display()));
        reason.to_owned()
    };
    assert_eq!(reason(&empty), "it has neither `index.json` nor `manifest.json`");
    for (bytes, expected) in [
        (&b""[..], "it is empty"),
        (&[b'x'; 2048], "invalid tar archive at byte 0: a header with a wrong checksum"),
        (b"short", "invalid tar archive at byte 0: it ends inside of a header"),
        (b"BZh9 and more", "it is compressed with bzip2; images use gzip or zstd"),
        (&Layer::new().file("readme", b"x").tar(), "it has neither `index.json` nor `manifest.json`"),
        (&Layer::new().file("manifest.json", b"[]").tar(), "it has no images"),
        (
            &Image::docker(&[web("amd64")])[..700],
            "invalid tar archive at byte 512: it is truncated: it ends inside of a file",
        ),
    ] {
        assert_eq!(reason(&written(&dir, bytes)), expected);
    }
    let packed = Compression::Gzip.pack(&Image::docker(&[web("amd64")]));
    let found = reason(&written(&dir, &packed[..packed.len() / 2]));
    assert!(found.starts_with("it cannot be unpacked: "), "{found}");
    let error = crate::read(&dir.path().join("none")).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read `{}`", dir.path().join("none").display()));
}

/// Changes a file of a layout that is found by a part of its content or its name.
fn damaged(change: impl Fn(&Path) -> bool) -> String {
    let dir = tempfile::tempdir().unwrap();
    let layout = dir.path().join("layout");
    web("amd64").write_layout(&layout).unwrap();
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = blobs.chain([layout.join("index.json")]).collect();
    assert_eq!(files.iter().filter(|file| change(file)).count(), 1);
    let error = crate::read(&layout).unwrap_err().to_string();
    error.replace(&layout.display().to_string(), "LAYOUT")
}

fn has(path: &Path, text: &str) -> bool {
    String::from_utf8_lossy(&fs::read(path).unwrap()).contains(text)
}

#[test]
fn a_damaged_document_is_refused_by_what_it_is() {
    let config = digest::of_bytes(&web("amd64").config_file());
    let replace = |path: &Path, text: &str, other: &str| {
        let old = fs::read_to_string(path).unwrap_or_default();
        let is_it = old.contains(text);
        if is_it {
            fs::write(path, old.replacen(text, other, 1)).unwrap();
        }
        is_it
    };
    let changed = damaged(|path| replace(path, "/bin/web\"", "/bin/bad\""));
    assert!(
        changed.starts_with("`LAYOUT`: the configuration of the image has the digest sha256:"),
        "{changed}"
    );
    assert!(changed.ends_with(&format!(", not sha256:{config}")), "{changed}");
    let empty = damaged(|path| has(path, "Entrypoint") && fs::write(path, "").is_ok());
    let length = web("amd64").config_file().len();
    let expected =
        format!("`LAYOUT`: the configuration of the image is truncated: it has 0 of {length} bytes");
    assert_eq!(empty, expected);
    let missing = damaged(|path| has(path, "Entrypoint") && fs::remove_file(path).is_ok());
    let expected =
        format!("`LAYOUT` has no `blobs/sha256/{config}`, which is the configuration of the image");
    assert_eq!(missing, expected);
    let index = damaged(|path| path.ends_with("index.json") && replace(path, "sha256:", "sha512:"));
    assert!(index.starts_with("`LAYOUT`: `index.json` is invalid: the digest \"sha512:"), "{index}");
    let long =
        damaged(|path| path.ends_with("index.json") && fs::write(path, vec![b' '; (4 << 20) + 1]).is_ok());
    assert_eq!(long, "`LAYOUT`: `index.json` is invalid: it has 4194305 bytes, more than 4194304");
    let layer = damaged(|path| has(path, "ustar") && has(path, "top") && fs::remove_file(path).is_ok());
    assert!(layer.ends_with("which is layer 2"), "{layer}");
}

/// A `docker save` archive with the given configuration, which no digest protects.
fn saved(config: &[u8], layers: &str) -> Vec<u8> {
    let manifest = format!(r#"[{{"Config":"c","RepoTags":null,"Layers":{layers}}}]"#);
    Layer::new()
        .file("c", config)
        .file("manifest.json", manifest.as_bytes())
        .file("l.tar", &Layer::new().tar())
        .tar()
}

#[test]
fn a_configuration_that_says_nothing_usable_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let good = br#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#;
    for (config, layers, expected) in [
        (&b""[..], "[]", "the configuration of the image is invalid: it is empty"),
        (b"{", "[]", "the configuration of the image is invalid: EOF while parsing an object"),
        (b"{}", "[]", "the configuration of the image is invalid: missing field"),
        (
            good,
            r#"["l.tar"]"#,
            "the configuration of the image is invalid: it has 0 layers, the manifest has 1",
        ),
        (good, r#"["../l.tar/../none"]"#, "has no `../l.tar/../none`, which is layer 1"),
        (good, "3", "`manifest.json` is invalid: invalid type: integer `3`"),
    ] {
        let error = crate::read(&written(&dir, &saved(config, layers))).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    crate::read(&written(&dir, &saved(good, "[]"))).unwrap();
}

#[test]
fn a_circle_of_links_in_an_archive_is_a_missing_file() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = br#"[{"Config":"a","RepoTags":[],"Layers":[]}]"#;
    let tar = Layer::new().symlink("a", "b").symlink("b", "a").file("manifest.json", manifest).tar();
    let error = crate::read(&written(&dir, &tar)).unwrap_err().to_string();
    assert!(error.ends_with("has no `a`, which is the configuration of the image"), "{error}");
}
