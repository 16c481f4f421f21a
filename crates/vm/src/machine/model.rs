//! Which machine and which CPU a guest gets, and why.

use image::arch::Arch;

use super::Accelerator;

/// The machine type's name without its version.
pub const fn machine_family(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "pc-q35",
        Arch::Arm64 => "virt",
    }
}

/// Whether a machine gets a generation id device. `virt` announces it by ACPI only, which a kernel that is started without
/// firmware does not see. In software the guest would interpret ACPI's code for it first thing after a resume, and its agent
/// has reseeded the kernel by then.
pub(super) const fn has_generation_id(arch: Arch, accelerator: Accelerator) -> bool {
    matches!((arch, accelerator), (Arch::Amd64, Accelerator::Kvm | Accelerator::Hvf))
}

/// The value of `-cpu`.
///
/// With hardware help the guest gets the host's CPU: snapshots never leave the machine that they were taken on. In
/// software it gets everything that QEMU can emulate but what makes the emulation slower: five levels of page tables
/// instead of four; on amd64 vectors of 256 bits, with which hashing a
/// password takes three times as long, and the claim that string instructions are fast, upon which kernel and libc copy with what is
/// emulated byte by byte; on arm64 signed pointers, which the kernel and every function of Debian's would sign and check, and vectors
/// and matrices whose registers are saved at every switch of tasks (`docs/vm.md` has the figures).
pub const fn cpu_model(arch: Arch, accelerator: Accelerator) -> &'static str {
    match (arch, accelerator) {
        (_, Accelerator::Kvm | Accelerator::Hvf) => "host",
        (Arch::Amd64, Accelerator::Tcg) => "max,avx2=off,la57=off,erms=off,fsrm=off",
        (Arch::Arm64, Accelerator::Tcg) => "max,lpa2=off,pauth=off,sme=off,sve=off",
    }
}
