//! Firmware and option ROMs that the machines need, so that a prefix needs no other files.

use std::path::{Path, PathBuf};

use crate::error::BuildError;

/// The images, each with what loads it.
const IMAGES: [&str; 9] = [
    // SeaBIOS: the machines `pc` and `q35`, direct kernel boot included.
    "bios-256k.bin",
    // Direct boot of a kernel.
    "linuxboot_dma.bin",
    "multiboot_dma.bin",
    "pvh.bin",
    // The local APIC of every x86 machine.
    "kvmvapic.bin",
    // An image that boots as on a foreign hypervisor: display and network cards load theirs at start.
    "vgabios-stdvga.bin",
    "efi-e1000.rom",
    "efi-e1000e.rom",
    "efi-virtio.rom",
];

/// Where distributions put such images; the reduced tarball has none.
const HOST_DIRS: [&str; 5] = [
    "/usr/share/qemu",
    "/usr/share/seabios",
    "/usr/share/seavgabios",
    "/usr/lib/ipxe/qemu",
    "/usr/share/ipxe/qemu",
];

/// Names of the images in a prefix.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    IMAGES.into_iter()
}

/// Where the build makes option ROMs, below the build directory; also where their makefile is, below the source.
pub(crate) const OPTION_ROMS: &str = "pc-bios/optionrom";

/// Whether the source lacks the option ROMs of direct boot.
pub(crate) fn lacks_option_roms(source: &Path) -> bool {
    !source.join("pc-bios/linuxboot_dma.bin").exists()
}

/// Finds every image: in the source, among the option ROMs made from it, on the host, in this order.
pub(crate) fn find(source: &Path, build: &Path) -> Result<Vec<(&'static str, PathBuf)>, BuildError> {
    let mut dirs = vec![source.join("pc-bios"), build.join(OPTION_ROMS)];
    dirs.extend(HOST_DIRS.map(PathBuf::from));
    find_in(&dirs)
}

fn find_in(dirs: &[PathBuf]) -> Result<Vec<(&'static str, PathBuf)>, BuildError> {
    IMAGES
        .into_iter()
        .map(|file| match dirs.iter().map(|dir| dir.join(file)).find(|path| path.is_file()) {
            Some(path) => Ok((file, path)),
            None => Err(BuildError::Firmware { file, searched: dirs.to_vec() }),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_wins_over_the_host_and_a_missing_image_is_named() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dirs = [first.path().to_owned(), second.path().to_owned()];
        for image in IMAGES {
            std::fs::write(second.path().join(image), "host").unwrap();
        }
        std::fs::write(first.path().join("pvh.bin"), "source").unwrap();
        let found = find_in(&dirs).unwrap();
        assert_eq!(found.len(), IMAGES.len());
        let pvh = found.iter().find(|(name, _)| *name == "pvh.bin").unwrap();
        assert_eq!(pvh.1, first.path().join("pvh.bin"));
        std::fs::remove_file(second.path().join("bios-256k.bin")).unwrap();
        let error = find_in(&dirs).unwrap_err();
        assert!(
            error.to_string().starts_with("the firmware image `bios-256k.bin` is not in any of"),
            "{error}"
        );
    }
}
