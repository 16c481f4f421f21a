//! The volumes from which a machine is provisioned: cloud-init's instructions and the bundle.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use base::files::FileError;
use protocol::names::labels;
use vm::volume::{Volume, VolumeError};

use crate::bundle::Bundle;
use crate::inputs::InputError;

/// The bundle on its volume.
const BUNDLE_FILE: &str = "bundle.tar";

/// A volume that cannot be created.
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

/// The files for a guest.
#[derive(Debug, Clone, Copy)]
pub struct Payload<'a> {
    /// Files of the `NoCloud` seed.
    pub seed: &'a [(&'a str, Vec<u8>)],
    /// What is copied over its root.
    pub bundle: &'a Bundle,
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

    /// Writes the bundle to the new image file at `path`; `scratch` is a temporary file.
    ///
    /// # Errors
    /// When something in it cannot be read, or a file cannot be written.
    pub fn write_bundle(&self, path: &Path, scratch: &Path) -> Result<(), SeedError> {
        let file = File::create_new(scratch).map_err(FileError::of("create", scratch))?;
        let writer = self.bundle.write(BufWriter::new(file))?;
        let written = writer.into_inner().map_err(std::io::Error::from);
        drop(written.map_err(FileError::of("write", scratch))?);
        Volume::new(labels::BUNDLE)?.file_of(BUNDLE_FILE, scratch)?.write(path)?;
        std::fs::remove_file(scratch).map_err(FileError::of("remove", scratch))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base::process::Cmd;

    use super::*;
    use crate::bundle::STACKD_PATH;

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
        let mut content = Bundle::default();
        content.tree(&tree, "etc").unwrap();
        content.file(&stackd, STACKD_PATH).unwrap();
        let payload = Payload { seed: &files, bundle: &content };
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
