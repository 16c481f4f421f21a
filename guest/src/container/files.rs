//! The files of a container that are not its image's: its names and its resolver, and what its description adds.
//!
//! Each is a file in the runtime directory, mounted over its place in the container. It is written where it is, so that what has the
//! mount, or the file open, finds the new content in it.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Write as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use base::files::PRIVATE_FILE;
use protocol::{
    Secret,
    containers::{Container, ContainerFile, FileSource},
};

use super::{environment::Session, hosts::hosts};

/// The resolver of the machine, which is the containers' too.
const RESOLVER: &str = "/etc/resolv.conf";

/// The directory of the files in the runtime directory.
const DIR: &str = "files";

/// Permissions of a file that every user may read.
const READABLE: u32 = 0o644;

/// A file that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where it is in the machine.
    pub(super) source: PathBuf,
    /// Its place in the container.
    pub(super) target: String,
}

/// The files of one container.
pub(super) struct Files {
    dir: PathBuf,
}

impl Files {
    /// Writes all of them.
    ///
    /// # Errors
    /// When one cannot be written, or the session lacks a secret.
    pub(super) fn write(
        container: &Container,
        all: &[Container],
        runtime: &Path,
        session: &Session,
    ) -> anyhow::Result<Self> {
        let dir = runtime.join(DIR);
        // The runtime directory lets no other user in.
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        let files = Self { dir };
        let resolver = match fs::read(RESOLVER) {
            // Until the image is sealed, the machine that is provisioned has none.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read.with_context(|| format!("cannot read `{RESOLVER}`"))?,
        };
        let hostname = format!("{}\n", container.hostname);
        for (name, content) in [
            ("hosts", hosts(container, all).into_bytes()),
            ("hostname", hostname.into_bytes()),
            ("resolv.conf", resolver),
        ] {
            files.put(name, &content, (0, 0), READABLE)?;
        }
        for (number, file) in container.files.iter().enumerate() {
            let content = match &file.source {
                FileSource::Content(text) => Secret::new(text),
                FileSource::Secret(variable) => secret(file, variable, session)?,
            };
            files.put(&number.to_string(), content.reveal().as_bytes(), (file.uid, file.gid), file.mode)?;
        }
        Ok(files)
    }

    /// Writes those with secrets again.
    ///
    /// # Errors
    /// When one cannot be written, or the session lacks a secret.
    pub(super) fn renew(&self, container: &Container, session: &Session) -> anyhow::Result<()> {
        for (number, file) in container.files.iter().enumerate() {
            if let FileSource::Secret(variable) = &file.source {
                let content = secret(file, variable, session)?;
                self.put(&number.to_string(), content.reveal().as_bytes(), (file.uid, file.gid), file.mode)?;
            }
        }
        Ok(())
    }

    /// All of them. A file of the description replaces one that every container has.
    pub(super) fn mounted(&self, container: &Container) -> Vec<Mounted> {
        let own =
            container.files.iter().enumerate().map(|(number, file)| (number.to_string(), &*file.target));
        let usual =
            ["hosts", "hostname", "resolv.conf"].map(|name| (name.to_owned(), format!("/etc/{name}")));
        let is_replaced = |target: &str| container.files.iter().any(|file| file.target == target);
        let usual = usual.into_iter().filter(|(_, target)| !is_replaced(target));
        usual
            .chain(own.map(|(name, target)| (name, target.to_owned())))
            .map(|(name, target)| Mounted { source: self.dir.join(name), target })
            .collect()
    }

    fn put(&self, name: &str, content: &[u8], owner: (u32, u32), mode: u32) -> anyhow::Result<()> {
        let path = self.dir.join(name);
        write_in_place(&path, content, owner, mode)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }
}

fn secret(file: &ContainerFile, variable: &str, session: &Session) -> anyhow::Result<Secret> {
    let value = session.get(variable);
    let value =
        value.with_context(|| format!("`{}`: the session has no variable `{variable}`", file.target))?;
    Ok(Secret::new(value))
}

/// Cut off at its new end only after it was written: a reader never finds it empty.
fn write_in_place(path: &Path, content: &[u8], (uid, gid): (u32, u32), mode: u32) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(false).mode(PRIVATE_FILE).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    chown(path, Some(uid), Some(gid))?;
    fs::set_permissions(path, Permissions::from_mode(mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::{super::fixtures::container, *};

    #[test]
    fn a_file_that_is_written_again_stays_the_same_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        write_in_place(&path, b"a long secret", owner, 0o400).unwrap();
        let before = fs::metadata(&path).unwrap();
        write_in_place(&path, b"short", owner, 0o400).unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!((before.ino(), after.mode() & 0o777), (after.ino(), 0o400));
        assert_eq!(fs::read(&path).unwrap(), b"short");
    }

    #[test]
    fn a_described_file_replaces_a_usual_one() {
        let container = container(
            r#", "files": [{"target": "/etc/hosts", "source": {"content": "x"}, "uid": 0, "gid": 0, "mode": 420}]"#,
        );
        let files = Files { dir: "/run/stack-web/files".into() };
        let targets: Vec<_> = files
            .mounted(&container)
            .into_iter()
            .map(|file| format!("{} {}", file.source.display(), file.target))
            .collect();
        insta::assert_snapshot!(targets.join("\n"), @"
        /run/stack-web/files/hostname /etc/hostname
        /run/stack-web/files/resolv.conf /etc/resolv.conf
        /run/stack-web/files/0 /etc/hosts
        ");
    }
}
