//! What instances, snapshots and pulls keep in the home, beside what [`vm::home`] knows. `docs/home.md` documents every name in
//! this module.

use std::path::{Component, Path, PathBuf};

use image::arch::Arch;
use vm::home::Home;

/// The places of a home that only a program with instances knows.
pub trait HomeExt {
    /// How a record names the file at `path`: from the home on where it is in the home, which may be moved.
    fn named(&self, path: &Path) -> PathBuf;

    /// Where the file is that a record [names](Self::named) `path`.
    fn resolve(&self, path: &Path) -> PathBuf;

    /// Where the image for `arch` came from.
    fn image_origin(&self, arch: Arch) -> PathBuf;

    /// Held exclusively by a command that replaces or removes images, shared by commands that begin to use one.
    fn images_lock(&self) -> PathBuf;

    /// Unfinished downloads.
    fn downloads(&self) -> PathBuf;

    /// What the image for `arch` is downloaded as; until it is whole, its name ends in `.part`.
    fn download(&self, arch: Arch) -> PathBuf;

    /// Held by the command that downloads the image for `arch`.
    fn download_lock(&self, arch: Arch) -> PathBuf;

    /// One directory an instance.
    fn instances(&self) -> PathBuf;

    /// One directory a snapshot.
    fn snapshots(&self) -> PathBuf;

    /// Logs of the last capture that failed.
    fn failed_capture(&self) -> PathBuf;
}

impl HomeExt for Home {
    fn named(&self, path: &Path) -> PathBuf {
        let leads_out = |inside: &&Path| inside.components().any(|part| part == Component::ParentDir);
        let inside = path.strip_prefix(self.root()).ok().filter(|inside| !leads_out(inside));
        inside.unwrap_or(path).to_owned()
    }

    fn resolve(&self, path: &Path) -> PathBuf {
        self.root().join(path)
    }

    fn image_origin(&self, arch: Arch) -> PathBuf {
        self.images().join(format!("{}-{arch}.origin.json", self.stack()))
    }

    fn images_lock(&self) -> PathBuf {
        self.images().join(".lock")
    }

    fn downloads(&self) -> PathBuf {
        self.root().join("downloads")
    }

    fn download(&self, arch: Arch) -> PathBuf {
        self.downloads().join(arch.image_file_of(self.stack()))
    }

    fn download_lock(&self, arch: Arch) -> PathBuf {
        self.downloads().join(format!(".{}.lock", arch.image_file_of(self.stack())))
    }

    fn instances(&self) -> PathBuf {
        self.root().join("instances")
    }

    fn snapshots(&self) -> PathBuf {
        self.root().join("snapshots")
    }

    fn failed_capture(&self) -> PathBuf {
        self.snapshots().join(".failed-capture")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_home_moves_with_it_and_what_is_elsewhere_stays() {
        let (old, new) = (Home::new("/old"), Home::new("/new"));
        let image = old.named(&old.image(Arch::Amd64));
        assert_eq!(image, Path::new("images/stack-emulator-amd64.qcow2"));
        assert_eq!(new.resolve(&image), new.image(Arch::Amd64));
        for elsewhere in ["/older/image", "/old/../image"] {
            assert_eq!(new.resolve(&old.named(Path::new(elsewhere))), Path::new(elsewhere));
        }
    }

    #[test]
    fn what_instances_and_snapshots_keep_is_inside_the_home() {
        let home = Home::new("/h");
        assert_eq!(home.instances(), Path::new("/h/instances"));
        assert_eq!(home.failed_capture(), Path::new("/h/snapshots/.failed-capture"));
    }
}
