//! Finding block devices through sysfs, without udev.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::uevent::Uevents;

const SYS_BLOCK: &str = "/sys/class/block";

/// Which block device is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// A partition by its name in the GPT.
    PartLabel(String),
    /// A device by its kernel name, "vda2".
    Name(String),
}

impl Wanted {
    /// Parses the value of `root=`.
    ///
    /// # Errors
    /// When it is neither `PARTLABEL=…` nor a path in `/dev`.
    pub(crate) fn parse(root: &str) -> anyhow::Result<Self> {
        if let Some(label) = root.strip_prefix("PARTLABEL=") {
            return Ok(Self::PartLabel(label.to_owned()));
        }
        match root.strip_prefix("/dev/") {
            Some(name) => Ok(Self::Name(name.to_owned())),
            None => bail!("`root={root}` is neither `PARTLABEL=…` nor a path in `/dev`"),
        }
    }

    /// Whether the device called `name`, whose uevent file reads `uevent`, is the wanted one.
    fn is(&self, name: &str, uevent: &str) -> bool {
        match self {
            Self::PartLabel(label) => {
                uevent.lines().any(|line| line.strip_prefix("PARTNAME=") == Some(label))
            }
            Self::Name(wanted) => name == wanted,
        }
    }
}

/// Waits until the kernel has the wanted device and gives its path in `/dev`.
///
/// # Errors
/// When `limit` passes first; the error lists the devices that are there.
pub(crate) fn wait_for(wanted: &Wanted, limit: Duration) -> anyhow::Result<PathBuf> {
    let start = Instant::now();
    // Listening begins before looking, so no device can come unnoticed in between.
    let events = Uevents::listen().context("cannot listen to the kernel's device events")?;
    loop {
        let names = names()?;
        if let Some(name) = names.iter().find(|name| wanted.is(name, &uevent(name))) {
            return Ok(Path::new("/dev").join(name));
        }
        let Some(left) = limit.checked_sub(start.elapsed()) else {
            bail!("no {wanted:?} after {} s; there are {names:?}", limit.as_secs());
        };
        events.wait(left)?;
    }
}

/// The whole disk with a FAT file system labelled `label`, if there is one.
///
/// # Errors
/// When the devices cannot be listed.
pub(crate) fn find_fat(label: &str) -> io::Result<Option<PathBuf>> {
    let disks = names()?.into_iter().filter(|name| !uevent(name).contains("DEVTYPE=partition"));
    Ok(disks
        .map(|name| Path::new("/dev").join(name))
        .find(|path| fat_label(path).is_some_and(|is| is == label)))
}

fn fat_label(path: &Path) -> Option<String> {
    let device = File::open(path).ok()?;
    let volume = fatfs::FileSystem::new(device, fatfs::FsOptions::new()).ok()?;
    Some(volume.volume_label())
}

fn names() -> io::Result<Vec<String>> {
    fs::read_dir(SYS_BLOCK)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn uevent(name: &str) -> String {
    // A device that has just gone has no such file.
    fs::read_to_string(Path::new(SYS_BLOCK).join(name).join("uevent")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROOT: &str = "MAJOR=254\nMINOR=2\nDEVNAME=vda2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=stack-root\n";

    #[test]
    fn a_partition_is_known_by_its_whole_name() {
        assert!(Wanted::PartLabel("stack-root".into()).is("vda2", ROOT));
        assert!(!Wanted::PartLabel("stack".into()).is("vda2", ROOT));
        assert!(!Wanted::PartLabel("vda2".into()).is("vda2", ROOT));
    }

    #[test]
    fn a_device_is_known_by_its_kernel_name() {
        assert!(Wanted::Name("vda2".into()).is("vda2", ROOT));
        assert!(!Wanted::Name("vda".into()).is("vda2", ROOT));
    }

    #[test]
    fn a_root_is_a_partition_label_or_a_path() {
        assert_eq!(Wanted::parse("PARTLABEL=stack-root").unwrap(), Wanted::PartLabel("stack-root".into()));
        assert_eq!(Wanted::parse("/dev/vda2").unwrap(), Wanted::Name("vda2".into()));
        let error = Wanted::parse("LABEL=root").unwrap_err().to_string();
        assert_eq!(error, "`root=LABEL=root` is neither `PARTLABEL=…` nor a path in `/dev`");
    }

    #[test]
    fn a_volume_is_known_by_its_label() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("volume");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(1 << 20).unwrap();
        let options = fatfs::FormatVolumeOptions::new().volume_label(*b"STACKCFG   ");
        fatfs::format_volume(&file, options).unwrap();
        assert_eq!(fat_label(&path).as_deref(), Some("STACKCFG"));
        assert_eq!(fat_label(&dir.path().join("missing")), None);
    }
}
