//! What stands in for an image, and for the `qemu-img` that looks into it, in tests that run without QEMU: a small disk with all
//! that is read out of an image, behind the header of a qcow2 image. For tests only.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;

use base::sparse::{self, Range};
use image::arch::Arch;
use image::description::{Description, ServiceFile, StackFile};
use image::manifest::{Boot, Build, Debian, FORMAT_VERSION, MINIMUM_QEMU, Manifest, PATH_IN_ESP};
use image::stack::Stack;
use vm::volume::{ESP_MINIMUM, Volume};

/// The program that stands in for `qemu-img`: it knows these disks, and says of each that all is well unless a test has written
/// something else next to it.
pub const QEMU_IMG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/qemu-img");

/// The commit that the images say they were built from.
pub const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Bytes of the disk in addition to the EFI system partition.
const REST: u64 = (4 << 20) - HEADER;

/// Bytes of the header's cluster, before the disk. [`QEMU_IMG`] knows it too.
const HEADER: u64 = 64 << 10;

/// Where the header names another file.
const NAME: usize = 512;

/// First sector of the partition.
const START: u64 = 2048;

const KERNEL: &str = "emulator/vmlinuz";
const INITRD: &str = "emulator/initrd.fast";

/// What an image for `arch` says about itself.
pub fn manifest(arch: Arch) -> Manifest {
    Manifest {
        format_version: FORMAT_VERSION,
        arch,
        build: Build { git_sha: COMMIT.into(), time: "2026-01-01T00:00:00Z".into() },
        debian: Debian { version: "13.2".into(), packages: BTreeMap::new() },
        boot: Boot { kernel: KERNEL.into(), initrd: INITRD.into(), cmdline: "quiet".into() },
        stack: stack(),
        images: BTreeMap::new(),
        resume_protocol: protocol::VERSION,
        minimum_qemu: MINIMUM_QEMU.into(),
        inputs: BTreeMap::new(),
    }
}

/// The stack of this repository, as an image's manifest has it.
pub fn stack() -> Stack {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../cloud-init");
    let read = |path: &str| fs::read_to_string(dir.join(path)).expect("the stack is described");
    let file = StackFile::parse(&read("stacks/stack-emulator/stack.toml")).expect("the stack is valid");
    let service = |name: &String| {
        let text = read(&format!("services/{name}/service.toml"));
        (name.clone(), ServiceFile::parse(&text).expect("the service is valid"))
    };
    let services: Vec<_> = file.services.iter().map(service).collect();
    Description::merge(file, &services).expect("they make a stack").stack
}

/// Writes an image with this manifest, whatever it is, and this kernel.
pub fn write(path: &Path, manifest: &str, kernel: &str) {
    let raw = tempfile::NamedTempFile::new().expect("temporary files can be made");
    write_disk(raw.path(), manifest, kernel);
    write_empty(path);
    let image = File::options().write(true).open(path).expect("it was just written");
    let whole = Range { start: 0, len: ESP_MINIMUM + REST };
    sparse::copy_range_nonzero(raw.as_file(), whole, &image, HEADER).expect("the directory is writable");
}

/// Writes an image of a disk that is all zeroes.
pub fn write_empty(path: &Path) {
    let mut file = File::create(path).expect("the directory is writable");
    file.write_all(&header(ESP_MINIMUM + REST)).expect("the file is writable");
    file.set_len(HEADER + ESP_MINIMUM + REST).expect("the file is writable");
}

/// Makes an image an overlay of the file `other`.
pub fn lead_to(image: &mut [u8], other: &str) {
    image[8..16].copy_from_slice(&(NAME as u64).to_be_bytes());
    let length = u32::try_from(other.len()).expect("it is a path");
    image[16..20].copy_from_slice(&length.to_be_bytes());
    image[NAME..NAME + other.len()].copy_from_slice(other.as_bytes());
}

/// The header of a qcow2 image: magic, version 3, clusters of 64 KiB, the disk's size, and its own length.
fn header(bytes: u64) -> [u8; 112] {
    let mut header = [0; 112];
    header[..4].copy_from_slice(b"QFI\xfb");
    header[7] = 3;
    header[23] = 16;
    header[24..32].copy_from_slice(&bytes.to_be_bytes());
    header[103] = 112;
    header
}

/// Writes the disk that is in an image.
fn write_disk(path: &Path, manifest: &str, kernel: &str) {
    File::create(path).and_then(|file| file.set_len(ESP_MINIMUM + REST)).expect("the directory is writable");
    let mut disk = gpt::GptConfig::new().writable(true).create(path).expect("the disk is new");
    disk.add_partition("esp", ESP_MINIMUM, gpt::partition_types::EFI, 0, Some(START)).expect("it fits");
    let sector = *disk.logical_block_size();
    let esp = disk.partitions()[&1].clone();
    disk.write().expect("the disk is writable");
    let start = esp.bytes_start(sector).expect("it begins somewhere");
    let length = esp.bytes_len(sector).expect("it ends somewhere");
    let volume = Volume::new("ESP").expect("it is a label").file(PATH_IN_ESP, manifest);
    let volume = volume.file(KERNEL, kernel).file(INITRD, "initrd");
    volume.write_esp(path, start, length).expect("the files fit");
}

/// The bytes of an image, distinguished from others by its kernel.
pub fn image(manifest: &Manifest, kernel: &str) -> Vec<u8> {
    let dir = tempfile::tempdir().expect("temporary directories can be made");
    let path = dir.path().join("disk");
    write(&path, &manifest.to_json(), kernel);
    fs::read(path).expect("it was written")
}

/// Opens the disk at `path` and locks it as QEMU does, until the file is dropped.
#[cfg(target_os = "linux")]
pub fn hold(path: &Path) -> File {
    use nix::fcntl::{FcntlArg, fcntl};
    use nix::libc;

    let kind = |value| libc::c_short::try_from(value).expect("the kinds of locks are small numbers");
    let file = File::open(path).expect("a test has made the disk");
    // A byte of those that `vm::disk_lock` looks at.
    let lock = libc::flock {
        l_type: kind(libc::F_RDLCK),
        l_whence: kind(libc::SEEK_SET),
        l_start: 101,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).expect("only one test locks its disk");
    file
}
