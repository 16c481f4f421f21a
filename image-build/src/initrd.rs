//! The fast initial RAM file system: `/init`, which is the guest's own program, and the modules that it loads.
//!
//! Modules are plain objects in `/modules`, named by number and name (`00-virtio_ring.ko`); `/init` loads them in the order of
//! their names. Mount points (`/dev`, `/proc`, `/sys`, `/root`) exist and are empty.

use std::io::{self, Write};

use cpio::NewcBuilder;
use cpio::newc::{ModeFileType, trailer};

use crate::modules::Module;

/// Empty directories that `/init` mounts file systems on, and the one that holds the modules.
const DIRECTORIES: [&str; 5] = ["dev", "modules", "proc", "root", "sys"];

/// Writes the archive (cpio, format "newc", which the kernel accepts): `init` and the modules in loading order.
///
/// # Errors
/// When the writer fails.
pub fn write<W: Write>(init: &[u8], modules: &[Module], to: W) -> io::Result<W> {
    let mut archive = Archive { to, entries: 0 };
    for dir in DIRECTORIES {
        archive.entry(dir, ModeFileType::Directory, 0o755, &[])?;
    }
    archive.entry("init", ModeFileType::Regular, 0o755, init)?;
    for (number, module) in modules.iter().enumerate() {
        let name = format!("modules/{number:02}-{}.ko", module.name);
        archive.entry(&name, ModeFileType::Regular, 0o644, &module.object)?;
    }
    trailer(archive.to)
}

struct Archive<W> {
    to: W,
    entries: u32,
}

impl<W: Write> Archive<W> {
    fn entry(&mut self, name: &str, kind: ModeFileType, mode: u32, content: &[u8]) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.entries += 1;
        let links = if matches!(kind, ModeFileType::Directory) { 2 } else { 1 };
        let header =
            NewcBuilder::new(name).ino(self.entries).mode(mode).nlink(links).set_mode_file_type(kind);
        let mut writer = header.write(&mut self.to, size);
        writer.write_all(content)?;
        writer.finish()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_archive_reads_back_with_modules_in_loading_order() {
        let modules = ["virtio_ring", "virtio_blk"]
            .map(|name| Module { name: name.to_owned(), object: name.as_bytes().to_vec() });
        let archive = write(b"program", &modules, Vec::new()).unwrap();
        let mut rest = archive.as_slice();
        let mut listing = Vec::new();
        loop {
            let mut reader = cpio::NewcReader::new(rest).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            let mut content = String::new();
            io::Read::read_to_string(&mut reader, &mut content).unwrap();
            let line = format!("{:o} {} {content}", reader.entry().mode(), reader.entry().name());
            listing.push(line.trim_end().to_owned());
            rest = reader.finish().unwrap();
        }
        insta::assert_snapshot!(listing.join("\n"), @r"
        40755 dev
        40755 modules
        40755 proc
        40755 root
        40755 sys
        100755 init program
        100644 modules/00-virtio_ring.ko virtio_ring
        100644 modules/01-virtio_blk.ko virtio_blk
        ");
    }
}
