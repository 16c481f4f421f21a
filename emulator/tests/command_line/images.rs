//! The images that are here, and what becomes of them when others are pulled.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use base::digest;
use image::arch::Arch;

use super::hub::{Hub, image};

#[test]
fn an_instance_with_data_keeps_its_image_until_it_is_reset() {
    let hub = Hub::new();
    let old = image(Arch::Amd64, "kernel");
    hub.gets_newest(&old);
    hub.with_data("feature");
    let new = image(Arch::Amd64, "new");
    hub.gets_newest(&new);
    let shown = hub.emulator.run(&["status", "--instance", "feature"]);
    assert!(shown.contains("state     stopped"), "{shown}");
    let newer =
        "the data of `feature` is on an older image than `[root]/home/images/stack-emulator-amd64.qcow2`";
    assert!(shown.contains(newer), "{shown}");
    let kept = hub
        .emulator
        .path(&format!("images/stack-emulator-amd64-{}.qcow2", digest::of_bytes(&old).first_digits(16)));
    assert!(fs::read(&kept).unwrap() == old);
    let named = |shown: String| {
        let name = |shown: String, bytes: &[u8], name: &str| {
            let sha256 = digest::of_bytes(bytes);
            shown.replace(&sha256.first_digits(16), name).replace(&sha256.first_digits(12), name)
        };
        name(name(shown, &old, "[old]"), &new, "[new]")
    };
    insta::assert_snapshot!(named(hub.emulator.run(&["images"])), @r"
    exit 0
    --- stdout
    STACK           ARCH   STATE     SIZE    BUILT                 SHA-256       INSTANCES
    stack-emulator  amd64  current   37 MiB  2026-01-01T00:00:00Z  [new]  -
    stack-emulator  amd64  replaced  37 MiB  2026-01-01T00:00:00Z  [old]  feature
    --- stderr
    ");
    insta::assert_snapshot!(hub.emulator.run(&["prune"]), @r"
    exit 0
    --- stdout
    there is nothing to remove
    --- stderr
    ");
    assert!(kept.exists());

    let shown = hub.emulator.run(&["reset", "--yes", "--instance", "feature"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    insta::assert_snapshot!(named(hub.emulator.run(&["prune", "--dry-run"])), @r"
    exit 0
    --- stdout
    KIND   SIZE    PATH
    image  37 MiB  [root]/home/images/stack-emulator-amd64-[old].qcow2
    37 MiB would be free
    --- stderr
    ");
    assert!(kept.exists());
    hub.emulator.run(&["prune"]);
    assert!(!kept.exists());
    hub.has(&new);
}

#[test]
fn what_an_instance_may_need_that_cannot_be_looked_at_is_not_pruned() {
    let hub = Hub::new();
    let old = image(Arch::Amd64, "kernel");
    hub.gets_newest(&old);
    hub.with_data("a");
    hub.gets_newest(&image(Arch::Amd64, "new"));
    let kept = hub
        .emulator
        .path(&format!("images/stack-emulator-amd64-{}.qcow2", digest::of_bytes(&old).first_digits(16)));
    let snapshot = "snapshots/amd64-template-1";
    hub.emulator.write(&format!("{snapshot}/snapshot.json"), "{}");
    hub.emulator.write(&format!("{snapshot}/retired"), "of a test");
    let (instance, record) =
        (hub.emulator.path("instances/a"), hub.emulator.path("instances/a/instance.json"));
    let is_kept = || {
        for args in [&["prune", "--dry-run"][..], &["prune"]] {
            let shown = hub.emulator.run(args);
            assert!(!shown.contains("KIND"), "{shown}");
        }
        assert!(kept.exists() && hub.emulator.path(snapshot).exists());
    };

    fs::remove_file(&record).unwrap();
    is_kept();
    let shown = hub.emulator.run(&["images"]);
    assert_eq!(shown.matches("  a\n").count(), 2, "{shown}");
    assert!(shown.contains("warning: instance `a` may have data on any image or snapshot: "), "{shown}");
    assert!(hub.emulator.run(&["status", "--instance", "a"]).contains("state     broken"));

    let elsewhere = hub.emulator.path("elsewhere");
    let reported = |path: &Path| {
        is_kept();
        for args in [&["status", "--instance", "a"][..], &["start", "--instance", "a", "--offline"]] {
            let shown = hub.emulator.run(args);
            let link = format!(
                "`[root]/home/{}` is a link to ",
                path.strip_prefix(hub.emulator.path("")).unwrap().display()
            );
            assert!(shown.starts_with("exit 1\n") && shown.contains(&link), "{shown}");
            assert!(shown.contains("hint: mount or put back what it leads to"), "{shown}");
        }
    };
    symlink("/no/such/disk/instance.json", &record).unwrap();
    reported(&record);
    fs::remove_file(&record).unwrap();
    for moved in [instance, hub.emulator.path("instances")] {
        fs::rename(&moved, &elsewhere).unwrap();
        symlink("/no/such/disk", &moved).unwrap();
        reported(&moved);
        fs::remove_file(&moved).unwrap();
        fs::rename(&elsewhere, &moved).unwrap();
    }
    let shown = hub.emulator.run(&["reset", "--yes", "--instance", "a"]);
    assert!(shown.starts_with("exit 0\n"), "{shown}");
    let shown = hub.emulator.run(&["prune"]);
    assert!(shown.contains("KIND") && !kept.exists() && !hub.emulator.path(snapshot).exists(), "{shown}");
}

#[test]
fn an_image_without_data_on_it_is_replaced() {
    let hub = Hub::new();
    for kernel in ["old", "new"] {
        let bytes = image(Arch::Amd64, kernel);
        hub.gets_newest(&bytes);
    }
    let qcow2 = |path: &Path| path.extension().is_some_and(|extension| extension == "qcow2");
    let images = fs::read_dir(hub.emulator.path("images")).unwrap();
    assert_eq!(images.filter(|entry| qcow2(&entry.as_ref().unwrap().path())).count(), 1);
}

#[test]
fn what_a_killed_pull_has_left_is_removed() {
    let hub = Hub::new();
    let bytes = image(Arch::Amd64, "kernel");
    hub.gets_newest(&bytes);
    for left in ["images/.boot-aBcDeF/esp", "images/.incoming-amd64.boot/vmlinuz"] {
        hub.emulator.write(left, "left");
    }
    insta::assert_snapshot!(hub.emulator.run(&["prune"]), @r"
    exit 0
    --- stdout
    KIND      SIZE   PATH
    leftover  0 MiB  [root]/home/images/.boot-aBcDeF
    leftover  0 MiB  [root]/home/images/.incoming-amd64.boot
    0 MiB freed
    --- stderr
    ");
    hub.has(&bytes);
    assert_eq!(hub.emulator.run(&["prune"]), "exit 0\n--- stdout\nthere is nothing to remove\n--- stderr\n");
}
