//! What the EFI system partition holds: boot loader, kernel, initial RAM file systems and manifest.
//!
//! The boot loader's files follow the Boot Loader Specification (type 1 entries), so that any UEFI hypervisor boots the image with
//! no help from this project.

use release::arch::Arch;
use release::manifest::PATH_IN_ESP;

/// The kernel.
pub const KERNEL: &str = "emulator/vmlinuz";

/// The initial RAM file system for this project's machines.
pub const FAST_INITRD: &str = "emulator/initrd.fast";

/// The distribution's initial RAM file system, which knows other hypervisors' disks.
pub const GENERIC_INITRD: &str = "emulator/initrd.generic";

/// systemd-boot's settings: boot the only entry at once.
const LOADER_CONF: &str = include_str!("esp/loader.conf");

/// The boot entry; `%CMDLINE%` is the kernel command line.
const ENTRY: &str = include_str!("esp/stack.conf");

/// The parts of an image that are not in its root file system.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootParts {
    /// The kernel.
    pub kernel: Vec<u8>,
    /// The initial RAM file system for this project's machines.
    pub fast_initrd: Vec<u8>,
    /// The distribution's own.
    pub generic_initrd: Vec<u8>,
    /// systemd-boot.
    pub loader: Vec<u8>,
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

/// All files of the partition by path.
pub fn files(arch: Arch, parts: &BootParts, cmdline: &str, manifest: &str) -> Vec<(String, Vec<u8>)> {
    let entry = ENTRY.replace("%CMDLINE%", cmdline);
    [
        (loader_path(arch), parts.loader.clone()),
        ("loader/loader.conf", LOADER_CONF.into()),
        ("loader/entries/stack.conf", entry.into_bytes()),
        (KERNEL, parts.kernel.clone()),
        (FAST_INITRD, parts.fast_initrd.clone()),
        (GENERIC_INITRD, parts.generic_initrd.clone()),
        (PATH_IN_ESP, manifest.into()),
    ]
    .map(|(path, bytes)| (path.to_owned(), bytes))
    .into()
}
