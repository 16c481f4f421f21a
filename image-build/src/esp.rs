//! The content of the EFI system partition: boot loader, kernel, initial RAM file systems and manifest.
//!
//! The boot loader's files follow the Boot Loader Specification (type 1 entries), so that any UEFI hypervisor boots the image without
//! help from this project.

use image::arch::Arch;
use image::manifest::PATH_IN_ESP;
use vm::volume::{Volume, VolumeError};

/// Label of the file system.
const LABEL: &str = "ESP";

/// The kernel.
pub const KERNEL: &str = "emulator/vmlinuz";

/// The initial RAM file system for this project's machines.
pub const FAST_INITRD: &str = "emulator/initrd.fast";

/// The distribution's initial RAM file system, which knows other hypervisors' disks.
const GENERIC_INITRD: &str = "emulator/initrd.generic";

/// systemd-boot's settings: boot the only entry at once.
const LOADER_CONF: &str = include_str!("esp/loader.conf");

/// The boot entry, with the placeholder [`SERIAL`].
const ENTRY: &str = include_str!("esp/stack.conf");

/// The placeholder in the boot entry for the machine's serial port.
const SERIAL: &str = "{serial}";

/// The files of the partition.
#[derive(Debug, Clone, Copy)]
pub struct Parts<'a> {
    /// systemd-boot.
    pub loader: &'a [u8],
    /// The kernel.
    pub kernel: &'a [u8],
    /// The initial RAM file system for this project's machines.
    pub fast_initrd: &'a [u8],
    /// The distribution's own.
    pub generic_initrd: &'a [u8],
    /// The image's manifest.
    pub manifest: &'a str,
}

/// Where UEFI firmware looks for a boot loader on a removable disk (UEFI specification, 3.5.1.1).
fn loader_path(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "EFI/BOOT/BOOTX64.EFI",
        Arch::Arm64 => "EFI/BOOT/BOOTAA64.EFI",
    }
}

/// Where the distribution's package has systemd-boot.
pub fn loader_in_root(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "/usr/lib/systemd/boot/efi/systemd-bootx64.efi",
        Arch::Arm64 => "/usr/lib/systemd/boot/efi/systemd-bootaa64.efi",
    }
}

/// The boot entry for machines of `arch`.
fn entry(arch: Arch) -> String {
    let port = match arch {
        Arch::Amd64 => "ttyS0",
        Arch::Arm64 => "ttyAMA0",
    };
    ENTRY.replace(SERIAL, port)
}

/// The partition's content.
///
/// # Errors
/// When FAT cannot keep the label.
pub fn volume(arch: Arch, parts: Parts<'_>) -> Result<Volume, VolumeError> {
    Ok(Volume::new(LABEL)?
        .file(loader_path(arch), parts.loader)
        .file("loader/loader.conf", LOADER_CONF)
        .file("loader/entries/stack.conf", entry(arch).as_str())
        .file(KERNEL, parts.kernel)
        .file(FAST_INITRD, parts.fast_initrd)
        .file(GENERIC_INITRD, parts.generic_initrd)
        .file(PATH_IN_ESP, parts.manifest))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use base::process::Cmd;

    use super::*;
    use crate::disk::Layout;

    #[tokio::test]
    async fn the_partition_is_clean_fat32_and_other_tools_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let layout = Layout::of_size(1);
        File::create(&path).unwrap().set_len(layout.size).unwrap();
        let parts = Parts {
            loader: b"loader",
            kernel: b"kernel",
            fast_initrd: b"fast",
            generic_initrd: b"generic",
            manifest: "{}",
        };
        let volume = volume(Arch::Amd64, parts).unwrap();
        volume.write_esp(&path, layout.esp.start, layout.esp.len).unwrap();

        let drive = format!("{}@@{}", path.display(), layout.esp.start);
        let mtype = Cmd::new("mtype").args(["-i", &drive, "::loader/entries/stack.conf"]);
        let text = mtype.text().await.unwrap();
        assert!(
            text.ends_with("root=PARTLABEL=stack-root rootfstype=ext4 rw console=tty0 console=ttyS0"),
            "{text}"
        );
        let mdir = Cmd::new("mdir").args(["-b", "-/", "-i", &drive]).text().await.unwrap();
        let mut files: Vec<_> = mdir.lines().filter(|line| !line.ends_with('/')).collect();
        files.sort_unstable();
        insta::assert_snapshot!(files.join("\n"), @r"
        ::/EFI/BOOT/BOOTX64.EFI
        ::/emulator/initrd.fast
        ::/emulator/initrd.generic
        ::/emulator/manifest.json
        ::/emulator/vmlinuz
        ::/loader/entries/stack.conf
        ::/loader/loader.conf
        ");

        let esp = dir.path().join("esp");
        let dd = Cmd::new("dd").args(["bs=1M", "skip=1"]).arg(format!("count={}", layout.esp.len >> 20));
        dd.arg(format!("if={}", path.display())).arg(format!("of={}", esp.display())).output().await.unwrap();
        let verdict = Cmd::new("fsck.fat").args(["-n", "-v"]).arg(&esp).text().await.unwrap();
        assert!(verdict.contains("2 FATs, 32 bit entries"), "{verdict}");
    }
}
