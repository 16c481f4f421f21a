//! The image as a file: sound, small, and bootable by firmware without any help from this project.

use std::path::Path;
use std::time::Duration;

use base::process::Cmd;
use base::wait;
use image::arch::Arch;
use vm_tests::home::TestHome;

/// Largest image that may be published, in bytes.
const LARGEST: u64 = 140 * 1024 * 1024;

/// A machine as a user of another hypervisor would make it, and no more: memory, firmware, the disk on a controller that every machine
/// of the kind has.
pub(crate) struct Plain {
    arch: Arch,
    /// QEMU's options for the board and its disk, which is `disk`.
    board: &'static [&'static str],
    /// Where distributions put the firmware: code and the template of its variables.
    firmware: &'static [(&'static str, &'static str)],
}

pub(crate) const PC: Plain = Plain {
    arch: Arch::Amd64,
    board: &["-device", "ide-hd,drive=disk"],
    firmware: &[
        ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
        ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
        ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    ],
};

pub(crate) const ARM: Plain = Plain {
    arch: Arch::Arm64,
    board: &["-machine", "virt", "-cpu", "cortex-a72", "-device", "virtio-blk-pci,drive=disk"],
    firmware: &[
        ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
        ("/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw", "/usr/share/edk2/aarch64/vars-template-pflash.raw"),
        ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    ],
};

#[tokio::test]
async fn the_image_is_sound_and_small() {
    sound_and_small(Arch::Amd64).await;
}

pub(crate) async fn sound_and_small(arch: Arch) {
    let home = TestHome::new(arch);
    let image = home.home().image(arch);
    let size = std::fs::metadata(&image).unwrap().len();
    assert!(size <= LARGEST, "the image has {} MiB", size / 1024 / 1024);
    Cmd::new(home.tool("qemu-img")).arg("check").arg(&image).output().await.unwrap();

    let raw = home.scratch("image.raw");
    let convert = Cmd::new(home.tool("qemu-img")).args(["convert", "-f", "qcow2", "-O", "raw"]);
    convert.arg(&image).arg(&raw).output().await.unwrap();
    let verdict = Cmd::new("sgdisk").arg("-v").arg(&raw).text().await.unwrap();
    assert!(verdict.contains("No problems found"), "{verdict}");

    let esp = home.scratch("esp.img");
    let disk = gpt::GptConfig::new().writable(false).open(&raw).unwrap();
    let partition =
        disk.partitions().values().find(|partition| partition.name == "esp").expect("there is an ESP");
    let (start, size) = (partition.first_lba * 512, (partition.last_lba - partition.first_lba + 1) * 512);
    window(&raw, start, size, &esp);
    Cmd::new("fsck.fat").arg("-n").arg(&esp).output().await.unwrap();
}

#[tokio::test]
async fn the_image_boots_to_a_login_prompt_under_plain_firmware() {
    boots_under_plain_firmware(&PC).await;
}

pub(crate) async fn boots_under_plain_firmware(plain: &Plain) {
    let home = TestHome::new(plain.arch);
    let firmware = plain.firmware.iter();
    let (code, variables) =
        firmware.clone().find(|(code, _)| Path::new(code).is_file()).expect("the firmware is installed");
    let own_variables = home.scratch("vars.fd");
    std::fs::copy(variables, &own_variables).unwrap();
    let overlay = home.scratch("overlay.qcow2");
    let create = Cmd::new(home.tool("qemu-img")).args(["create", "-f", "qcow2", "-F", "qcow2", "-b"]);
    create.arg(home.home().image(plain.arch)).arg(&overlay).output().await.unwrap();

    let console = home.scratch("console.log");
    let qemu = Cmd::new(home.tool(&format!("qemu-system-{}", plain.arch.qemu())))
        .args(["-m", "2048", "-display", "none", "-no-reboot"])
        .args(["-drive", &format!("if=pflash,format=raw,readonly=on,file={code}")])
        .args(["-drive", &format!("if=pflash,format=raw,file={}", own_variables.display())])
        .args(["-drive", &format!("if=none,id=disk,format=qcow2,file={}", overlay.display())])
        .args(plain.board)
        .args(["-serial", &format!("file:{}", console.display())]);
    let prompt =
        async || std::fs::read_to_string(&console).is_ok_and(|text| text.contains("login:")).then_some(());
    let outcome = tokio::select! {
        ended = qemu.output() => Err(format!("QEMU ended: {ended:?}")),
        login = wait::until(Duration::from_mins(5), prompt) => login.map_err(|error| error.to_string()),
    };
    outcome.unwrap_or_else(|why| {
        panic!("{why}; console:\n{}", std::fs::read_to_string(&console).unwrap_or_default())
    });
}

fn window(from: &Path, start: u64, size: u64, to: &Path) {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(from).unwrap();
    file.seek(SeekFrom::Start(start)).unwrap();
    std::io::copy(&mut file.take(size), &mut std::fs::File::create(to).unwrap()).unwrap();
}
