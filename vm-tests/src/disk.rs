//! The disk of a stopped instance, looked at from outside.

use std::path::Path;

use base::process::Cmd;
use instances::home::HomeExt;
use instances::instance::record::{self, Record};
use serde_json::{Value, json};

use crate::emulator::Emulator;

/// Name of the root's partition.
const ROOT: &str = "stack-root";

/// Bytes of a sector.
const SECTOR: u64 = 512;

/// Asserts that the guest's root file system is without fault. The guest must have shut down.
///
/// # Panics
/// When it is not, or cannot be looked at.
pub async fn assert_sound(emulator: &Emulator) {
    let mut overlay = layer(&emulator.dir().overlay());
    overlay["backing"] = Value::Null;
    let check = Cmd::new(emulator.home().tool("qemu-img")).arg("check").arg(format!("json:{overlay}"));
    check.output().await.expect("the overlay is sound");
    let raw = emulator.home().scratch("disk.raw");
    let convert = Cmd::new(emulator.home().tool("qemu-img")).args(["convert", "-O", "raw"]);
    let chain = chain(emulator);
    convert.arg(format!("json:{chain}")).arg(&raw).output().await.expect("the disk can be read");
    let disk = gpt::GptConfig::new().writable(false).open(&raw).expect("the disk has a partition table");
    let root = disk.partitions().values().find(|partition| partition.name == ROOT).expect("there is a root");
    let offset = root.first_lba * SECTOR;
    // Any status but 0 is a fault that was found, or a file system that cannot be read.
    let check = Cmd::new("e2fsck").args(["-f", "-n"]).arg(format!("{}?offset={offset}", raw.display()));
    check.output().await.expect("the root file system is sound");
    std::fs::remove_file(&raw).expect("the home is writable");
}

/// The overlay with everything below it, as it is passed to QEMU.
fn chain(emulator: &Emulator) -> Value {
    let dir = emulator.dir();
    let record: Record =
        record::read(&dir.record()).expect("the record can be read").expect("there is a record");
    let session = record.session.expect("there is a session");
    let on = |mut upper: Value, lower: Value| {
        upper["backing"] = lower;
        upper
    };
    let image = layer(&dir.home().resolve(&session.image.path));
    let below = match &session.snapshot {
        Some(name) => on(layer(&dir.snapshot(name).disk()), image),
        None => image,
    };
    on(layer(&dir.overlay()), below)
}

fn layer(path: &Path) -> Value {
    json!({ "driver": "qcow2", "file": { "driver": "file", "filename": path } })
}
