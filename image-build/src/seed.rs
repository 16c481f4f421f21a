//! The volumes that a machine is provisioned from: cloud-init's instructions and the bundle.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use base::files::FileError;
use protocol::names::labels;
use vm::volume::{Volume, VolumeError};

use crate::bundle::{Bundle, STACKD_PATH};
use crate::inputs::InputError;

/// The bundle on its volume.
const BUNDLE_FILE: &str = "bundle.tar";

/// A volume that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// Something in the bundle cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The volume cannot be written.
    #[error(transparent)]
    Volume(#[from] VolumeError),
}

/// What goes into a guest: trees with the place where each belongs, and the guest's program.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Files of the `NoCloud` seed.
    pub seed: &'a [(&'a str, Vec<u8>)],
    /// Directories on the host, each with its place in the guest ("" is the root).
    pub trees: &'a [(&'a Path, &'a str)],
    /// The guest's program.
    pub stackd: &'a Path,
}

impl Payload<'_> {
    /// Writes the seed to the new image file at `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_seed(&self, path: &Path) -> Result<(), SeedError> {
        let empty = Volume::new(labels::SEED)?;
        let volume =
            self.seed.iter().fold(empty, |volume, (name, content)| volume.file(name, content.as_slice()));
        Ok(volume.write(path)?)
    }

    /// Writes the bundle to the new image file at `path`; `scratch` is a file that is made and removed on the way.
    ///
    /// # Errors
    /// When something in it cannot be read, or a file cannot be written.
    pub fn write_bundle(&self, path: &Path, scratch: &Path) -> Result<(), SeedError> {
        let file = File::create_new(scratch).map_err(FileError::of("create", scratch))?;
        let mut bundle = Bundle::new(BufWriter::new(file));
        for (tree, place) in self.trees {
            bundle.tree(tree, place)?;
        }
        bundle.file(self.stackd, STACKD_PATH)?;
        let written = bundle.finish().and_then(|writer| writer.into_inner().map_err(std::io::Error::from));
        drop(written.map_err(FileError::of("write", scratch))?);
        let bytes = std::fs::read(scratch).map_err(FileError::of("read", scratch))?;
        std::fs::remove_file(scratch).map_err(FileError::of("remove", scratch))?;
        Ok(Volume::new(labels::BUNDLE)?.file(BUNDLE_FILE, bytes).write(path)?)
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::*;

    #[tokio::test]
    async fn both_volumes_are_clean_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).unwrap();
        std::fs::write(tree.join("file"), "content").unwrap();
        let stackd = dir.path().join("program");
        std::fs::write(&stackd, "program").unwrap();
        let (seed, bundle) = (dir.path().join("seed"), dir.path().join("bundle"));
        let files = [("user-data", b"#cloud-config\n".to_vec()), ("meta-data", Vec::new())];
        let payload = Payload { seed: &files, trees: &[(&tree, "etc")], stackd: &stackd };
        payload.write_seed(&seed).unwrap();
        payload.write_bundle(&bundle, &dir.path().join("scratch")).unwrap();

        for volume in [&seed, &bundle] {
            Cmd::new("fsck.fat").arg("-n").arg(volume).output().await.unwrap();
        }
        let text = Cmd::new("mtype").arg("-i").arg(&seed).arg("::user-data").text().await.unwrap();
        assert_eq!(text, "#cloud-config");
        let tar = Cmd::new("mtype").arg("-i").arg(&bundle).arg("::bundle.tar").output().await.unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let paths: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
        assert_eq!(paths, [Path::new("etc/file"), Path::new(STACKD_PATH)]);
    }
}
