//! Names for the virtio-serial ports, which are usually udev's task.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

/// Makes `/dev/virtio-ports/<name>` point to each port's device, so that the guest agent does not have to wait for udev.
///
/// # Errors
/// When the ports cannot be listed or a link cannot be created.
pub(crate) fn link(sys: &Path, dev: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(sys) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let links = dev.join("virtio-ports");
    fs::create_dir_all(&links)?;
    for entry in entries {
        let entry = entry?;
        let name = fs::read_to_string(entry.path().join("name"))?;
        // The port of a console has no name.
        if !name.trim_end().is_empty() {
            symlink(Path::new("..").join(entry.file_name()), links.join(name.trim_end()))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_named_port_gets_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (sys, dev) = (dir.path().join("sys"), dir.path().join("dev"));
        for (device, name) in [("vport1p0", "\n"), ("vport1p1", "org.qemu.guest_agent.0\n")] {
            fs::create_dir_all(sys.join(device)).unwrap();
            fs::write(sys.join(device).join("name"), name).unwrap();
        }
        link(&sys, &dev).unwrap();
        let links: Vec<_> =
            fs::read_dir(dev.join("virtio-ports")).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(links, [dev.join("virtio-ports/org.qemu.guest_agent.0")]);
        assert_eq!(fs::read_link(&links[0]).unwrap(), Path::new("../vport1p1"));
    }

    #[test]
    fn a_machine_without_ports_is_fine() {
        let dir = tempfile::tempdir().unwrap();
        link(&dir.path().join("none"), dir.path()).unwrap();
        assert!(!dir.path().join("virtio-ports").exists());
    }
}
