//! Whether there is a newer image than the one that an instance has its data on.

use std::path::PathBuf;

use image::arch::Arch;
use vm::boot_files::BootFiles;

use super::Instance;
use super::record::{self, Record};
use crate::home::HomeExt;
use crate::images::files::role;

impl Instance {
    /// The image that a new session would use, if this instance has its data on one that it has replaced. Images are not read for this,
    /// and one that is outside of the home has been replaced by none.
    pub fn newer_image(&self) -> Option<PathBuf> {
        let record = record::read::<Record>(&self.dir.record()).ok()??;
        let own = record.session?.image;
        let arch = record.arch.or_else(Arch::host)?;
        let path = self.home.resolve(&own.path);
        let is_of_home = path.parent() == Some(self.home.images().as_path())
            && role(&path).is_some_and(|role| role.stack == self.home.stack() && role.arch == arch);
        let image = self.home.image(arch);
        let (current, _) = BootFiles::known(&image, &self.home.boot_files(arch)).filter(|_| is_of_home)?;
        (current.sha256 != own.sha256).then_some(image)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use base::digest::{self, Sha256};
    use base::files::create_private_dir;
    use vm::boot_files::ImageRecord;
    use vm::home::Home;
    use vm::stamp::Stamp;

    use super::super::record::{ImageIdentity, Session};
    use super::*;
    use crate::name::InstanceName;

    fn on(path: &Path, sha256: Sha256) -> Record {
        let image = ImageIdentity { path: path.to_owned(), sha256, size: 7 };
        let session = Some(Session::new(image, None, None));
        Record { session, arch: Some(Arch::Amd64), ..Record::new(InstanceName::default()) }
    }

    #[test]
    fn data_on_an_image_that_was_replaced_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        let (image, boot) = (home.image(Arch::Amd64), home.boot_files(Arch::Amd64));
        fs::create_dir_all(&boot).unwrap();
        fs::write(&image, "new").unwrap();
        let current = digest::of_bytes(b"new");
        let known = ImageRecord { sha256: current, stamp: Stamp::of(&image).unwrap() };
        fs::write(boot.join("image.json"), serde_json::to_vec(&known).unwrap()).unwrap();
        fs::write(boot.join("manifest.json"), fake_image::manifest(Arch::Amd64).to_json()).unwrap();
        fs::write(boot.join("vmlinuz"), "").unwrap();
        fs::write(boot.join("initrd"), "").unwrap();
        let instance = Instance::new(&home, InstanceName::default());
        create_private_dir(instance.dir().root()).unwrap();
        let newer = |path: &Path, sha256| {
            record::write(&instance.dir().record(), &on(path, sha256)).unwrap();
            instance.newer_image()
        };

        let (old, kept) = (digest::of_bytes(b"old"), "images/stack-emulator-amd64-0123456789abcdef.qcow2");
        let name = Path::new("images/stack-emulator-amd64.qcow2");
        assert_eq!(newer(name, old).as_ref(), Some(&image));
        assert_eq!(newer(Path::new(kept), old), Some(image));
        assert_eq!(newer(name, current), None, "it is the newest");
        assert_eq!(newer(Path::new("/elsewhere/stack-emulator-amd64.qcow2"), old), None);
        assert_eq!(newer(Path::new("images/shop-amd64.qcow2"), old), None, "it is of another stack");
    }
}
