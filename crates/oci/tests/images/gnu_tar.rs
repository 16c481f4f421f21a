//! What GNU tar writes and reads: sparse files in all of its forms, and times.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

use base::digest;
use base::process::Cmd;
use oci::LayerStore;
use test_images::{Image, Layer};

/// Has GNU tar pack the directory `from`, and unpack into `to` what becomes of it as a layer.
async fn through(options: &[&str], from: &Path, to: &Path) {
    let packed = Cmd::new("tar").args(["--create", "--directory"]).arg(from).args(options).arg(".");
    let layer = Layer::of_tar(packed.output().await.unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("image.tar");
    Image::new("x", "amd64").layer(&layer).write_docker(&path).unwrap();
    let layers = LayerStore::new(dir.path()).add(&crate::read(&path).unwrap()).unwrap();
    fs::create_dir(to).unwrap();
    let unpack =
        Cmd::new("tar").arg("--extract").arg("--file").arg(&layers[0].path).arg("--directory").arg(to);
    unpack.output().await.unwrap();
}

#[tokio::test]
async fn sparse_files_stay_sparse_in_every_form() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    let long = "n".repeat(150);
    for (name, pieces, length) in
        [("middle", 1, 4 << 20), (long.as_str(), 40, 64 << 20), ("end", 1, 1 << 19), ("none", 0, 3 << 20)]
    {
        let file = File::create(from.join(name)).unwrap();
        file.set_len(length).unwrap();
        for piece in 0..pieces {
            file.write_all_at(format!("piece {piece}").as_bytes(), (1 << 18) + piece * (1 << 20)).unwrap();
        }
    }
    for (form, options) in [
        ("gnu", &["--sparse", "--format=gnu"][..]),
        ("0.0", &["--sparse", "--format=posix", "--sparse-version=0.0"]),
        ("0.1", &["--sparse", "--format=posix", "--sparse-version=0.1"]),
        ("1.0", &["--sparse", "--format=posix", "--sparse-version=1.0"]),
    ] {
        let to = dir.path().join(form);
        through(options, &from, &to).await;
        for name in ["middle", &long, "end", "none"] {
            let (old, new) = (from.join(name), to.join(name));
            assert_eq!(digest::of_file(&new).unwrap(), digest::of_file(&old).unwrap(), "{form} {name}");
            let used = fs::metadata(&new).unwrap().blocks() * 512;
            assert!(used <= 1 << 20, "{form} {name} uses {used} bytes");
        }
    }
}

#[tokio::test]
async fn times_are_kept_before_the_epoch_and_below_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let epoch = SystemTime::UNIX_EPOCH;
    for (name, time) in [
        ("fraction", epoch + Duration::from_nanos(1_234_567_890_123_456_789)),
        ("old", epoch - Duration::from_hours(24)),
        ("old-fraction", epoch - Duration::from_millis(500)),
        ("far", epoch + Duration::from_hours(2_500_000)),
    ] {
        File::create(from.join(name)).unwrap().set_modified(time).unwrap();
    }
    through(&["--format=posix"], &from, &to).await;
    for name in ["fraction", "old", "old-fraction", "far"] {
        let time = |dir: &Path| fs::metadata(dir.join(name)).unwrap().modified().unwrap();
        assert_eq!(time(&to), time(&from), "{name}");
    }
    // GNU's own form has whole seconds, also before the epoch.
    let to = dir.path().join("gnu");
    through(&["--format=gnu"], &from, &to).await;
    assert_eq!(fs::metadata(to.join("old")).unwrap().mtime(), -86_400);
}
